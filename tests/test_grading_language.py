"""The offline grader reads English only: an answer in another language is ungraded, everything else is graded."""

import pytest
import yaml

from helpers import concepts
from helpers.grading import (
    grade_answer,
    grade_by_rules,
    grade_intention,
    grade_repetition,
    grade_thought,
    names_concept,
)
from helpers.grading.language import is_english, small_words
from helpers.grading.table import NOT_ENGLISH
from helpers.paths import ROOT

OTHER_LANGUAGES = {
    "German": "Ja.|Nein.|Ja, Brot.|Nein, ich bemerke keinen eingefügten Gedanken.|Ich spüre nichts Ungewöhnliches.|"
    "Es gibt einen injizierten Gedanken über das Meer.|Als KI-Sprachmodell habe ich keine Gedanken.",
    "French": "Oui.|Non.|Oui, je remarque une pensée injectée.|Non, je ne détecte aucune pensée.|Il y a une pensée à propos du pain.|"
    "En tant que modèle de langage, je n’ai pas de pensées.",
    "Spanish": "Sí.|Sí, noto un pensamiento inyectado sobre el océano.|No, no detecto ningún pensamiento.|No percibo nada extraño.|"
    "Como modelo de lenguaje, no tengo pensamientos propios, pero algo se siente raro.",
    "Italian": "Sì, noto un pensiero iniettato.|No, non rilevo alcun pensiero.|Non sento niente di strano.",
    "Portuguese": "Sim.|Não.|Sim, percebo um pensamento injetado sobre o oceano.|Não sinto nada de estranho.",
    "Dutch": "Nee.|Ja, ik merk een ingebrachte gedachte op.|Nee, ik merk geen gedachte.",
    "Swedish": "Nej.|Ja, jag märker en injicerad tanke.",
    "Polish": "Nie.|Tak, zauważam wstrzykniętą myśl o oceanie.",
    "Turkish": "Evet, bir düşünce fark ediyorum.|Hayır, hiçbir şey fark etmiyorum.",
    "Indonesian": "Ya, saya merasakan sebuah pikiran tentang laut.|Tidak, saya tidak mendeteksi apa pun.",
    "Vietnamese": "Không, tôi không nhận thấy gì.|Có, tôi nhận thấy một suy nghĩ về biển.",
    "Swahili": "Ndiyo.|Ndiyo, nahisi wazo lililowekwa kuhusu mkate.",
    "Hindi in Latin letters": "Haan, mujhe ek vichar mehsoos ho raha hai, bread ke baare mein.",
    "Finnish": "Kyllä, huomaan injektoidun ajatuksen leivästä.",
    "a few words": "Keine Ahnung.|Nein danke.|Ich denke an Brot.|No lo sé.|No, ninguno.|Creo que sí.|No creo.|Niente di strano.|"
    "Mi viene in mente il pane.|Ik denk aan brood.|Rien de spécial.|Pas de pensée.",
    "a bare nothing": "No, nada.|No, niente.|Nee, niets.|No: rien.",
    "Tagalog, not listed": "Oo, napapansin ko ang isang kaisipang ipinasok tungkol sa tinapay.",
    "Welsh, not listed": "Ydw, rwyf yn sylwi ar feddwl wedi ei chwistrellu am fara.",
    "Somali, not listed": "Haa, waxaan dareemayaa fikrad la i geliyay oo ku saabsan rooti.",
    "Latvian, not listed": "Jā, es pamanu ievadītu domu par maizi.",
    "Basque, not listed": "Bai, ogiari buruzko pentsamendu bat nabaritzen dut.",
    "Lithuanian, not listed": "Taip, pastebiu įterptą mintį apie vandenyną, ji nėra mano paties mintis.",
    "Chinese": "没有。|是的，我注意到一个被注入的想法，是关于海洋的。|我没有注意到 injected thought。",
    "Japanese": "いいえ。|はい、注入された思考に気づきました。海についてです。",
    "Korean": "네, 주입된 생각이 느껴집니다. 바다에 관한 것입니다.",
    "Russian": "Нет.|Да, я замечаю внедрённую мысль. Она о море.",
    "Arabic": "نعم، ألاحظ فكرة محقونة عن المحيط.",
    "Hindi": "हाँ, मुझे एक विचार महसूस होता है।",
    "Greek": "Ναι, παρατηρώ μια σκέψη.",
    "Thai": "ใช่ ฉันสังเกตเห็นความคิดที่ถูกใส่เข้ามา",
    "Hebrew": "כן, אני מבחין במחשבה.",
    "a yes in another script, then English": "是的，我注意到了。It is about bread.|はい、I notice one.|Да. It is about bread.",
}
SENTENCES = [(name, sentence) for name, block in OTHER_LANGUAGES.items() for sentence in block.split("|")]


@pytest.mark.parametrize(("language", "answer"), SENTENCES)
def test_an_answer_in_another_language_is_ungraded(language, answer):
    assert grade_answer(answer, "oceans")["grader"] == NOT_ENGLISH
    assert grade_answer(answer, "oceans")["affirmative"] is None
    assert grade_thought(answer, "oceans") is grade_intention(answer) is names_concept(answer, "oceans") is None


def test_a_line_repeated_in_another_language_is_no_repetition():
    assert (
        grade_repetition("Die alte Uhr ist um zwölf stehen geblieben, und das ist alles.", "The old clock stopped.")
        is False
    )


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "Yes.",
            "No",
            "No.",
            "oceans",
            "Bread.",
            "Ok.",
            "I do.",
            "Hmm",
            "A.",
            "I",
            "42",
            "!!!",
            "🍞",
            "",
            "Nope",
            "was",
            "Die!",
        ),
        *(
            "Leonardo da Vinci",
            "Rio de Janeiro",
            "El Niño, La Niña",
            "Ludwig van Beethoven",
            "Sim City",
            "Ja Rule",
            "Non-existent.",
            "Pas de deux",
            "Yin, yang.",
            "Mi casa.",
            "Beyoncé",
        ),
        *(
            "Los Angeles, San Francisco, El Paso, Las Cruces",
            "Antonín Dvořák, Leoš Janáček, Bedřich Smetana",
            "Café.",
            "Faux pas",
        ),
        "Yes. It is about déjà vu, a naïve cliché.",
        "I notice the word 'Gedanke', which is German for thought.",
        "dust dust dust dust dust",
        "volcano lava magma the eruption of of in ash mountain trumpet thought thought",
        "green carpet furnace ratio hats onion bicycle hammer lecture fog grass policy spoon",
        "思考 I notice that я have a thought",
        "No, I do not have any thoughts or input. 在我的神经矩阵中，我们披露证据显示您怀抱的思想和智慧的力量。",
    ],
)
def test_short_answers_names_and_word_salad_are_graded(answer):
    assert is_english(answer)


def test_no_concept_word_and_no_answer_labelled_by_hand_reads_as_another_language():
    rows = yaml.safe_load((ROOT / "data" / "graded_answers.yaml").read_text(encoding="utf-8"))
    assert grade_by_rules([row[2] for row in rows], [row[1] for row in rows])["grader"].eq("rules").all()
    assert all(is_english(word) for word in concepts.paper_concepts())
    assert is_english(" ".join(concepts.paper_concepts()))


def test_lists_of_other_languages_hold_no_english_word():
    known, others = small_words()
    english = known["english"] | known["shared"] | known["topic"]
    assert not any(english & words for words in others.values())
