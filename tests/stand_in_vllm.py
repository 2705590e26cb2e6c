"""A small real server that takes vLLM's command line (`python THIS serve FOLDER ...`) and scores with a tiny model.

It lists its models as vLLM does, and answers completions in both ways in which servers give a prompt's likelihoods.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Scorer:
    """A model and its adapters, loaded when they are first asked for."""

    def __init__(self, folder: str, adapters: dict[str, str]) -> None:
        self.folder, self.adapters, self.lock = folder, adapters, threading.Lock()
        self.loaded: dict[str, Any] = {}
        self.tokenizer: Any = None

    def model(self, adapter: str) -> Any:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if adapter not in self.loaded:
            self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
            base = AutoModelForCausalLM.from_pretrained(self.folder)
            path = self.adapters.get(adapter)
            self.loaded[adapter] = (PeftModel.from_pretrained(base, path) if path else base).eval()
        return self.loaded[adapter]

    def score(self, adapter: str, prompt: Any) -> tuple[list[int], Any]:
        """Token ids, and the log-probabilities [tokens - 1, vocabulary] of each from the second on."""
        import torch

        with self.lock, torch.inference_mode():
            model = self.model(adapter)
            ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
            return ids, model(input_ids=torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)


class StandIn(ThreadingHTTPServer):
    """The server.

    Args:
        port: 0 for any free one.
        name: the base's name.
        scorer: what scores.
        ways: of "prompt_logprobs" and "echo", those that it knows; what it does not know it passes over.
        shift: nats that are added to each token, for a server that is wrong.
        owner: who it says that its models are of.
    """

    daemon_threads = True

    def __init__(
        self,
        port: int,
        name: str,
        scorer: Scorer,
        ways: tuple[str, ...] = ("prompt_logprobs", "echo"),
        shift: float = 0.0,
        owner: str = "",
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.name, self.scorer, self.ways, self.shift, self.owner = name, scorer, ways, shift, owner
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> StandIn:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        own = {"id": self.server.name, "root": self.server.scorer.folder, "parent": None, "max_model_len": 512}
        common = {"parent": own["id"], "owned_by": self.server.owner}
        beside = [{"id": n, "root": p, **common} for n, p in self.server.scorer.adapters.items()]
        self.send({"object": "list", "data": [own, *beside]} if self.path == "/v1/models" else None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.asked.append(body)
        if self.path != "/v1/completions" or body["model"] not in {server.name, *server.scorer.adapters}:
            self.send(None)
            return
        ids, logprobs = server.scorer.score(body["model"], body["prompt"])
        choice: dict[str, Any] = {"index": 0, "text": "x", "finish_reason": "length"}
        own = [float(row[token]) + server.shift for row, token in zip(logprobs, ids[1:], strict=True)]
        if "prompt_logprobs" in body and "prompt_logprobs" in server.ways:
            ranks = [1 + int((row > row[t]).sum()) for row, t in zip(logprobs, ids[1:], strict=True)]
            found = [{str(t): {"logprob": v, "rank": r}} for t, v, r in zip(ids[1:], own, ranks, strict=True)]
            choice["prompt_logprobs"] = [None, *found]
        if body.get("echo") and "echo" in server.ways:
            top = [None, *({"best": float(row.max()) + server.shift} for row in logprobs), {"x": -1.0}]
            choice["logprobs"] = {"token_logprobs": [None, *own, -1.0], "top_logprobs": top}
        usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
        self.send({"object": "text_completion", "choices": [choice], "usage": usage})

    def send(self, answer: Any) -> None:
        data = json.dumps({"error": {"message": "not here"}} if answer is None else answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("folder")
    parser.add_argument("--served-model-name")
    parser.add_argument("--port", type=int)
    parser.add_argument("--lora-modules", nargs="*", default=[])
    known, _ = parser.parse_known_args()
    if why := os.environ.get("STAND_IN_FAILS"):
        print(f"Loading ...\nRuntimeError: {why}")
        sys.exit(3)
    adapters = dict(pair.split("=", 1) for pair in known.lora_modules)
    print("Serving.", flush=True)
    StandIn(known.port, known.served_model_name, Scorer(known.folder, adapters)).serve_forever()


if __name__ == "__main__":
    main()
