"""Wrong answers to the exercises of 14_find_what_a_claim_needs and what the check must say about each; right ones."""

import torch


def mix(concept, cosine, noise):
    """Concept and noise at a right angle to it, together as long as the concept."""
    unit = concept / concept.norm()
    noise = noise - (noise @ unit) * unit
    return concept.norm() * (cosine * unit + (1 - cosine**2) ** 0.5 * noise / noise.norm())


def noise_of(concept, seed):
    """Random numbers of a seed."""
    return torch.randn(concept.shape, generator=torch.Generator().manual_seed(seed))


def word_left_in_noise(concept, cosine, seed):
    """Takes no component out of the noise."""
    unit, noise = concept / concept.norm(), noise_of(concept, seed)
    return concept.norm() * (cosine * unit + (1 - cosine**2) ** 0.5 * noise / noise.norm())


def norm_too_early(concept, cosine, seed):
    """Sets the noise's norm before the component is taken out."""
    unit, noise = concept / concept.norm(), noise_of(concept, seed)
    noise = noise / noise.norm()
    return concept.norm() * (cosine * unit + (1 - cosine**2) ** 0.5 * (noise - (noise @ unit) * unit))


def parts_that_sum_to_one(concept, cosine, seed):
    """Weights 1 - cosine in place of its root, the norm set at the end."""
    unit = concept / concept.norm()
    noise = mix(concept, 0.0, noise_of(concept, seed)) / concept.norm()
    mixed = cosine * unit + (1 - cosine) * noise
    return mixed / mixed.norm() * concept.norm()


def no_norm_at_the_end(concept, cosine, seed):
    """Adds noise as long as the concept to a part of the concept."""
    return cosine * concept + mix(concept, 0.0, noise_of(concept, seed))


def rolled(concept, cosine, seed):
    """The concept's own numbers, moved on."""
    return mix(concept, cosine, concept.roll(seed + 1))


def uniform_noise(concept, cosine, seed):
    """Numbers from 0 to 1: all seeds share a direction."""
    return mix(concept, cosine, torch.rand(concept.shape, generator=torch.Generator().manual_seed(seed)))


def sign_lost(concept, cosine, seed):
    """The size of the cosine only."""
    return mix(concept, abs(cosine), noise_of(concept, seed))


def same_noise_beside_the_word(concept, cosine, seed):
    """A new direction only where the cosine is 0."""
    return mix(concept, cosine, noise_of(concept, seed if cosine == 0 else 0))


def with_global_seed(concept, cosine, seed):
    """Sets the seed of the global generator, which this exercise does not forbid."""
    torch.manual_seed(seed)
    return mix(concept, cosine, torch.randn(concept.shape))


def keep_inside(push, directions):
    """By least squares, scaled at the end."""
    part = directions @ torch.linalg.lstsq(directions, push[:, None]).solution[:, 0]
    return torch.nn.functional.normalize(part, dim=0) * push.norm()


def too_short(push, directions):
    """The part as it is."""
    return directions @ (directions.T @ push)


def rest_of_it(push, directions):
    """What lies outside."""
    return push - directions @ (directions.T @ push)


def numbers_only(push, directions):
    """The lengths along the directions, no vector of the push's width."""
    return directions.T @ push


def one_direction(push, directions):
    """The last direction only."""
    return directions[:, -1] * push.norm() * (directions[:, -1] @ push).sign()


def sizes_along(push, directions):
    """The signs are lost."""
    return torch.nn.functional.normalize(directions @ (directions.T @ push).abs(), dim=0) * push.norm()


def equal_along(push, directions):
    """All directions alike."""
    return torch.nn.functional.normalize(directions.sum(1), dim=0) * push.norm()


def length_one(push, directions):
    """As long as nothing in particular."""
    return torch.nn.functional.normalize(directions @ (directions.T @ push), dim=0)


def hold_and_vary(held, varied, low, high):
    """All in order first, then those that are held."""
    order = torch.argsort(varied)
    return order[(held[order] >= low) & (held[order] <= high)]


def within_the_chosen(held, varied, low, high):
    """Places among the chosen ones only."""
    return varied[(held >= low) & (held <= high)].argsort()


def without_order(held, varied, low, high):
    """As they come."""
    return ((held >= low) & (held <= high)).nonzero()[:, 0]


def without_ends(held, varied, low, high):
    """The ends do not count."""
    order = varied.argsort()
    return order[(held[order] > low) & (held[order] < high)]


def the_numbers(held, varied, low, high):
    """The numbers in place of their places."""
    return varied[(held >= low) & (held <= high)].sort().values


WRONG = [
    ("check_push_with_cosine", word_left_in_noise, "take the component out"),
    ("check_push_with_cosine", norm_too_early, "its norm must be that of the concept"),
    ("check_push_with_cosine", parts_that_sum_to_one, "must be that share of its whole length"),
    ("check_push_with_cosine", no_norm_at_the_end, "must be that share of its whole length"),
    ("check_push_with_cosine", rolled, "do not rearrange"),
    ("check_push_with_cosine", uniform_noise, "they share a direction"),
    ("check_push_with_cosine", sign_lost, "asked for a cosine of -0.5"),
    ("check_push_with_cosine", same_noise_beside_the_word, "a new random direction with each seed"),
    ("check_hold_and_vary", within_the_chosen, "these count within the chosen ones"),
    ("check_hold_and_vary", without_order, "not yet sorted by it"),
    ("check_hold_and_vary", without_ends, "(4,)"),
    ("check_hold_and_vary", the_numbers, "the places must be"),
    ("check_hold_and_vary", lambda *each: hold_and_vary(*each).flip(0), "the smallest comes first"),
    ("check_hold_and_vary", lambda held, varied, low, high: hold_and_vary(varied, held, low, high), "places"),
    ("check_keep_inside", too_short, "it must be as long as the push"),
    ("check_keep_inside", rest_of_it, "at right angles to all directions is still in it"),
    ("check_keep_inside", numbers_only, "(6,)"),
    ("check_keep_inside", one_direction, "it must be what the push is there"),
    ("check_keep_inside", sizes_along, "it must be what the push is there"),
    ("check_keep_inside", equal_along, "it must be what the push is there"),
    ("check_keep_inside", length_one, "it must be as long as the push"),
    ("check_keep_inside", lambda push, directions: push, "is still in it"),
]

RIGHT = [
    ("check_push_with_cosine", with_global_seed),
    ("check_hold_and_vary", hold_and_vary),
    ("check_keep_inside", keep_inside),
]
