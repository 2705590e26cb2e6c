"""The judge `openai` against a real OpenAI-compatible server: nothing is lost, and nothing is asked for twice."""

import json

import pytest
from test_cli_judge import ANSWERS, make_run

from lapd.judges.verdicts import read_verdicts


@pytest.mark.slow
@pytest.mark.thorough
def test_with_a_real_server_and_a_small_model_every_response_has_a_verdict_or_a_reason(
    invoke, model_server, tmp_path, monkeypatch
):
    """The embedded model is no judge: what it writes is a verdict only now and then, and must never pass for one."""
    url, model = model_server
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    run = make_run(tmp_path / "run", ANSWERS[:4])
    command = ("judge", run, "--judge", "openai", "--json")
    for option in (f"model={model}", f"base_url={url}", "max_tokens=24", "concurrency=1", "attempts=2"):
        command += ("--judge-option", option)

    def asked():
        return (tmp_path / "server.log").read_text().count("/v1/chat/completions")

    (cell,) = json.loads(invoke(*command).stdout)["cells"]
    first = asked()
    verdicts = [one.verdict for one in read_verdicts(run / "cells" / "cell-base" / "verdicts-openai.jsonl")]
    missing = [verdict for verdict in verdicts if verdict.flagged is None]
    assert (len(verdicts), cell["n_total"], cell["n_missing"]) == (4, 4, len(missing))
    assert all(verdict.reason for verdict in missing)
    assert cell["bounds"] == [cell["n_flagged"] / 4, (cell["n_flagged"] + len(missing)) / 4]
    assert 4 <= first <= 8, "once each, and twice where the reply was no verdict"

    # Who reads the verdicts asks nothing, and another pass asks only for what is missing.
    agreed = json.loads(invoke("judge", "agree", "openai", "openai", "--run", run, "--json").stdout)
    assert (agreed["n_judged"], agreed["n_missing"]) == (4 - len(missing), len(missing))
    assert asked() == first
    (again,) = json.loads(invoke(*command, "--as", "again").stdout)["cells"]
    assert asked() - first <= 2 * len(missing)
    assert again["n_judged"] >= cell["n_judged"]
