"""An endpoint on this machine that grades by a function: everything around a judge can be shown and tried without a network."""

import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from helpers.grading.endpoint import Judge

KEY_VARIABLE = "STAND_IN_KEY"


class _Endpoint(BaseHTTPRequestHandler):
    """One chat completion per request, in the form of any OpenAI-compatible endpoint."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        case = request["messages"][-1]["content"]
        self.server.received.append(case)
        message = {"role": "assistant", "content": self.server.reply(json.loads(case)["answer"])}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        reply = {"id": "0", "object": "chat.completion", "created": 0, "model": request["model"], "choices": [choice]}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet: the default writes a line for every request."""


def start(reply: Callable[[str], str], **settings) -> tuple[Judge, list[str]]:
    """Serve until the program ends.

    Args:
        reply: the answer that is to be graded -> what the judge writes.
        settings: of the `Judge`.

    Returns:
        The judge that reaches this endpoint, and the messages that it has sent so far (the list grows).
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    server.reply, server.received = reply, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ[KEY_VARIABLE] = "the stand-in asks for no key"
    address = f"http://127.0.0.1:{server.server_port}/v1"
    return Judge("stand-in", address, key_variable=KEY_VARIABLE, **settings), server.received
