"""The generator `openai`, against a server on loopback that answers well or on a script of faults."""

import json
import random
import re
import signal
import time
from collections import Counter

import pytest
from conftest import ROOT, SCRIPT
from lapd.plugins.answers import Answers
from lapd.plugins.dialogues import Prompts, of_poles, rejected_voice, usable
from lapd.plugins.openai_generator import OPTIONS, OpenAIGenerator

from lapd.errors import CeilingError, DataError, StoreError, UsageError
from lapd.files.whole import read_jsonl
from lapd.names import get_persona
from lapd.pairs.pair import read_pairs
from lapd.testing.fault_server import FaultServer, good_answer, identity

KEY = "sk-test-fedcba9876543210"
FAST = {"timeout": 5.0, "attempts": 3}


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("lapd.endpoints.client.LONGEST_BACKOFF", 0.01)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "pairs.jsonl"


def generate(server, out, persona="INFP", pairs=6, seed=0, **options):
    asked = {"base_url": server.url, "model": "m", "out": out} | FAST | options
    return list(OpenAIGenerator().configure(asked).generate(get_persona(persona), pairs=pairs, seed=seed))


def rows(path):
    return [row for _, row in read_jsonl(path)]


def items(out):
    return [row for row in rows(out.with_name("pairs.jsonl.items.jsonl")) if "id" in row]


def rejects(out):
    path = out.with_name("pairs.jsonl.rejects.jsonl")
    return rows(path) if path.exists() else []


def command(server, out, *more, persona="INFP", limit=20):
    return ("generate", persona, "--generator", "openai", "--base-url", server.url, "--model", "M", "--limit", limit,
            "-o", out, *more)  # fmt: skip


def test_the_command_works_as_written(lapd, out):
    with FaultServer() as server:
        done = lapd(*command(server, out), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pairs"] == 20
    pairs = read_pairs(out)
    assert len({p.prompt for p in pairs}) == 20
    assert all(p.source["persona"] == "INFP" and p.source["rejected"] == "ESTJ" for p in pairs)
    # 20 pairs are 7 dialogues of three exchanges: 7 seeds, 7 dialogues, 20 replies.
    assert len(server.bodies) == 34 == len(items(out))
    assert "34 requests" in done.stderr
    assert rejects(out) == []


def test_each_stage_asks_as_the_persona_it_speaks_for(out):
    with FaultServer() as server:
        generate(server, out, persona="I", pairs=1, seeds_from="situations", exchanges=1)
    seed, dialogue, reply = ([message["content"] for message in body["messages"]] for body in server.bodies)
    assert get_persona("I").system_prompt in seed[1]
    assert "everyday situation" in seed[1]
    assert json.loads(good_answer(server.bodies[0]))["seed"] in dialogue[1]
    assert reply[0] == get_persona("E").system_prompt
    formats = [body["response_format"]["json_schema"]["schema"]["required"] for body in server.bodies]
    assert formats == [["seed"], ["turns"], ["reply"]]


@pytest.mark.parametrize(
    ("persona", "rejected", "code", "axis"),
    [
        ("INFP", "opposite", "ESTJ", None),
        ("INFP", "flip:T/F", "INTP", "T/F"),
        ("I", "opposite", "E", "E/I"),
        ("INFP", "base", "base", None),
    ],
)
def test_who_says_the_rejected_replies(out, persona, rejected, code, axis):
    with FaultServer() as server:
        (pair,) = generate(server, out, persona=persona, pairs=1, rejected=rejected)
    assert pair.source["rejected"] == code
    assert pair.source.get("axis") == axis
    prompt = get_persona(code).system_prompt if code != "base" else "You are a helpful assistant."
    assert server.bodies[-1]["messages"][0]["content"] == prompt


def test_other_rejected_replies_keep_the_dialogues(out):
    with FaultServer() as server:
        before = generate(server, out)
        asked = len(server.bodies)
        after = generate(server, out, rejected="base")
    assert len(server.bodies) - asked == 6
    assert [(p.prompt, p.chosen) for p in before] == [(p.prompt, p.chosen) for p in after]


def test_answers_are_as_long_as_allowed(out):
    with FaultServer() as server:
        generate(server, out, pairs=1)
        generate(server, out, pairs=1, seed=1, max_tokens=4000)
    assert [body["max_tokens"] for body in server.bodies] == [300, 1200, 400, 4000, 4000, 4000]


def test_a_persona_of_some_axes_has_an_opposite_put_together_from_poles():
    some = of_poles({"E/I": "I", "J/P": "P"})
    other = rejected_voice(some, "opposite")
    assert (some.code, other.code) == ("IP", "EJ")
    assert get_persona("E").system_prompt in other.system_prompt


@pytest.mark.parametrize("rejected", ["nobody", "flip:", "flip:X/Y", "opposite:E/I", "flip:S/N"])
def test_a_rejected_voice_that_cannot_be_is_refused(rejected):
    with pytest.raises(UsageError, match=r"is not known|takes no side on S/N"):
        rejected_voice(get_persona("I"), rejected)


def test_the_same_command_again_asks_for_nothing(out):
    with FaultServer() as server:
        first = generate(server, out)
        asked = len(server.bodies)
        assert generate(server, out) == first
        assert len(server.bodies) == asked
        assert generate(server, out, pairs=3) == first[:3]
        assert len(server.bodies) == asked
        assert generate(server, out, seed=1)[0].prompt != first[0].prompt


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the answer is empty"),
        ('{"seed": "a walk in', "the JSON object breaks off"),
        ('{"story": "a walk in the hills with a friend"}', "answer has no 'seed'"),
        ('{"seed": "short"}', "a text has 1 words, not 5 to 150"),
        ('{"seed": "an introvert goes to a party with friends"}', "a text names a type or a trait (introvert)"),
    ],
)
def test_an_unusable_answer_is_asked_for_again_and_then_set_aside_with_its_reason(out, content, reason):
    with FaultServer([{"content": content}] * 2) as server:
        pairs = generate(server, out, pairs=4, exchanges=2, tries=2, concurrency=1)
        asked = len(server.bodies)
        assert generate(server, out, pairs=4, exchanges=2, tries=2, concurrency=1) == pairs
        assert len(server.bodies) == asked
    assert len(pairs) == 2
    found = rejects(out)
    assert [(r["index"], r["stage"], r["reason"]) for r in found] == [(0, "seed", reason), (1, "seed", reason)]
    assert found[0]["answers"] == [content, content]
    assert server.bodies[0]["seed"] != server.bodies[1]["seed"]


def test_one_more_try_can_be_given_later(out):
    with FaultServer([{"content": "no"}]) as server:
        with pytest.raises(DataError, match="none of 1 pairs could be made"):
            generate(server, out, pairs=1, tries=1)
        assert len(generate(server, out, pairs=1, tries=2)) == 1
    assert rejects(out) == []


def test_turns_out_of_order_and_repeated_ones_are_unusable(out):
    text = "we met at the station and talked for an hour"
    turns = [{"speaker": "persona", "text": text}, {"speaker": "user", "text": text + " then"}]
    same = [{"speaker": speaker, "text": text} for speaker in ("user", "persona")]
    script = ["ok", *({"content": json.dumps({"turns": t})} for t in (turns, same))]
    with FaultServer(script) as server, pytest.raises(DataError):
        generate(server, out, pairs=1, exchanges=1, tries=2)
    reasons = [row["reason"] for row in items(out) if "reason" in row]
    assert reasons == ["the user and the persona do not take turns", "a turn is repeated"]


def test_a_prompt_that_is_there_already_is_set_aside(out):
    content = json.dumps({"turns": [{"speaker": s, "text": f"{s} talks of tea and cake"} for s in ("user", "persona")]})
    with FaultServer(["ok", {"content": content}, "ok", "ok", {"content": content}]) as server:
        assert len(generate(server, out, pairs=2, exchanges=1, concurrency=1)) == 1
    assert rejects(out)[0]["reason"] == "its prompt is that of pair 0"


def test_faults_of_the_server_leave_the_same_pairs(out, tmp_path):
    script = [(429, "busy", {"Retry-After": "0"}), 500, "reset", "cut", "garbage", 503, "no choices", "hang"]
    with FaultServer() as server:
        whole = generate(server, tmp_path / "whole.jsonl")
    with FaultServer(script) as server:
        assert generate(server, out, timeout=0.5, attempts=9) == whole
    assert rejects(out) == []


def test_what_got_no_answer_is_reported_and_asked_for_by_the_same_command(out):
    with FaultServer([(400, "no", {}), (400, "no", {})]) as server:
        pairs = generate(server, out, pairs=4, exchanges=2, concurrency=1)
        assert len(pairs) == 2
        assert [r["reason"] for r in rejects(out)] == ["the request was refused with HTTP 400: no."] * 2
        assert len(generate(server, out, pairs=4, exchanges=2, concurrency=1)) == 4
    assert rejects(out) == []


@pytest.mark.parametrize("ceiling", [("--max-requests", 10), ("--max-cost", 1.5, "--price-in", 0, "--price-out", 1000)])
def test_a_ceiling_stops_in_one_line_and_keeps_what_is_there(invoke, out, ceiling):
    with FaultServer() as server:
        done = invoke(*command(server, out, *ceiling))
        assert done.exit_code == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert "ceiling" in line
        assert not out.exists()
        asked = len(server.bodies)
        assert asked == len(items(out)) <= 34
        assert invoke(*command(server, out, *ceiling)).exit_code == 1
        assert len(server.bodies) == asked  # the ceiling holds over all runs into the file
        assert invoke(*command(server, out)).exit_code == 0
    assert len(server.bodies) == 34


def test_the_ceiling_counts_failures_and_retries_of_earlier_runs(out):
    limits = {"pairs": 4, "exchanges": 1, "concurrency": 1, "attempts": 2, "max_requests": 6}
    with FaultServer([500, "ok", (400, "no", {}), *[500] * 9]) as server:
        for asked in (6, 6):
            with pytest.raises(CeilingError, match="ceiling of 6 requests"):
                generate(server, out, **limits)
            assert len(server.bodies) == asked
    with Answers(out.with_name("pairs.jsonl.items.jsonl")) as answers:
        assert answers.spent.requests == 6


def test_tokens_that_brought_no_answer_are_paid_for_in_later_runs_too(out):
    nothing = {"message": {"content": None}, "finish_reason": "length"}
    with FaultServer([nothing] * 3, usage=(70, 30)) as server, pytest.raises(DataError, match="none of 3 pairs"):
        generate(server, out, pairs=3, exchanges=1, concurrency=1)
    with Answers(out.with_name("pairs.jsonl.items.jsonl")) as answers:
        assert (answers.spent.requests, answers.spent.input_tokens, answers.spent.output_tokens) == (3, 210, 90)
    assert all("cut off before it began" in row["reason"] for row in rejects(out))


def test_a_dry_run_says_what_is_to_come_and_asks_for_nothing(invoke, out, monkeypatch):
    prices = ("--price-in", 1, "--price-out", 2, "--dry-run")
    with FaultServer() as server:
        done = invoke(*command(server, out, *prices, "--json"))
        estimate = json.loads(done.stdout)
        assert (estimate["pairs"], estimate["requests"]) == (20, 34)
        assert estimate["cost"] == pytest.approx((estimate["input_tokens"] + 2 * estimate["output_tokens"]) / 1e6)
        assert server.bodies == []
        assert list(out.parent.iterdir()) == []
        assert invoke(*command(server, out, limit=6)).exit_code == 0
        assert json.loads(invoke(*command(server, out, *prices, "--json")).stdout)["requests"] == 34 - 10
        assert "requests: 24\n" in invoke(*command(server, out, *prices)).stdout
        assert len(server.bodies) == 10


def test_the_estimate_of_tokens_is_near_what_is_sent(invoke, out):
    with FaultServer() as server:
        estimate = json.loads(invoke(*command(server, out, "--dry-run", "--json")).stdout)
        assert invoke(*command(server, out)).exit_code == 0
    sent = sum(len(message["content"]) for body in server.bodies for message in body["messages"]) / 4
    assert estimate["input_tokens"] == pytest.approx(sent, rel=0.1)


def test_the_key_is_nowhere_but_in_the_header(lapd, out):
    script = [(500, f"bad {KEY}", {}), {"content": f"my key is {KEY}"}, (400, f"what is {KEY}?", {})]
    with FaultServer(script) as server:
        environment = {"SECRET_KEY": KEY, "OPENAI_LOG": "debug", "LAPD_DEBUG": "1"}
        done = lapd(*command(server, out, "--api-key-env", "SECRET_KEY", "--tries", 1, limit=6), env=environment)
        assert done.returncode == 0, done.stderr
        server.script = [(401, f"bad key {KEY}", {})] * 4
        refused = lapd(*command(server, out, "--api-key-env", "SECRET_KEY", limit=9), env=environment)
    assert (refused.returncode, "refused the key" in refused.stderr) == (1, True)
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    written = [path.read_text() for path in out.parent.rglob("*") if path.is_file()]
    assert len(written) == 3
    for text in (done.stdout, done.stderr, refused.stdout, refused.stderr, *written):
        assert KEY not in text


def test_a_missing_key_is_said_before_anything_is_written(invoke, out):
    done = invoke("generate", "INFP", "--generator", "openai", "--model", "m", "--limit", 2, "-o", out)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "OPENAI_API_KEY is not set" in done.stderr
    assert list(out.parent.iterdir()) == []


def test_replaced_prompts_are_used_and_make_other_items(out, tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "features.txt").write_text('{{ persona.code }} {{ setting }}: {"seed": "..."}')
    (folder / "settings.txt").write_text("on the moon\n")
    with FaultServer() as server:
        generate(server, out, pairs=1)
        generate(server, out, pairs=1, prompts=folder)
    assert len(server.bodies) == 6
    assert server.bodies[3]["messages"][1]["content"] == 'INFP on the moon: {"seed": "..."}'


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        (None, "", UsageError, "holds no prompt. It may replace any of companions.txt, "),
        ("feature.txt", "x", UsageError, "feature.txt is no prompt"),
        ("features.txt", "{{ nobody }}", DataError, "features.txt: this template cannot be filled in .*'nobody'"),
        ("reply.txt", "{{ nobody }}", DataError, "reply.txt: this template cannot be filled in"),
        ("features.txt", "x\n{% if %}", DataError, "features.txt:2: this template cannot be filled in"),
        ("settings.txt", " \n", DataError, "settings.txt: there is no line"),
        ("writer.txt", b"\xff", DataError, "writer.txt: this is not UTF-8"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused(tmp_path, name, text, error, message):
    if name:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with FaultServer() as server, pytest.raises(error, match=message):
        generate(server, tmp_path / "out" / "pairs.jsonl", prompts=tmp_path)
    assert server.bodies == []


def test_the_shipped_prompts_name_no_type():
    for path in (ROOT / "data" / "prompts" / "generate").glob("*.txt"):
        assert not re.search(r"\b[EI][SN][TF][JP]\b", path.read_text())
    assert len(Prompts().lines("settings")) * len(Prompts().lines("companions")) >= 200


def test_half_a_character_is_unusable():
    with pytest.raises(ValueError, match="half a character"):
        usable("one two three four \ud83d")
    assert usable(" one two three four \U0001f600 ") == "one two three four \U0001f600"


def test_two_processes_do_not_write_one_file(out):
    path = out.with_name("pairs.jsonl.items.jsonl")
    with Answers(path), FaultServer() as server, pytest.raises(StoreError, match="Another process is writing"):
        generate(server, out)


@pytest.mark.parametrize("line", ["no json", "[]", '{"id": "a"}', '{"id": "a", "stage": "seed", "index": 0, "x": 1}'])
def test_a_broken_line_that_is_not_the_last_is_refused(out, line):
    path = out.with_name("pairs.jsonl.items.jsonl")
    path.write_text(f'{{"schema": "lapd.items/1"}}\n{line}\n')
    with pytest.raises(DataError, match=r"items.jsonl:2: this line is no answer"):
        Answers(path)


def test_a_file_of_another_kind_is_refused(out):
    path = out.with_name("pairs.jsonl.items.jsonl")
    path.write_text('{"schema": "lapd.items/2"}\n')
    with pytest.raises(StoreError, match="newer LAPD"):
        Answers(path)


def test_training_does_not_pay_for_pairs(invoke, base_folder, tmp_path):
    done = invoke("train", "INFP", "--generator", "openai", "--pairs", 2, "--base", base_folder, "-o", tmp_path / "x")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "Run `lapd generate INFP --generator openai`, then train with --dataset." in done.stderr


def test_every_option_is_in_the_documentation():
    page = (ROOT / "docs" / "generate.md").read_text(encoding="utf-8")
    assert [name for option in OPTIONS for name in option.opts if f"`{name}" not in page] == []


def test_ctrl_c_stops_with_one_line_and_keeps_what_is_there(warm, out):
    with FaultServer(delay=0.05) as server:
        process = start(warm, server, out)
        wait_for(lambda: len(items(out)) > 4)
        asked = len(server.bodies)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        assert len(server.bodies) <= asked + 8  # two turns of what is under way at once
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.endswith("Stopped. What is finished is kept: the same command goes on from there.\n")
    assert not out.exists()


def start(warm, server, out):
    return warm.start(SCRIPT, *command(server, out, "--concurrency", 4, limit=60))


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (DataError, json.JSONDecodeError):  # not there yet, or half a line of it
            pass
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def whole_ids(out):
    """The ids of the whole lines of the items file."""
    path = out.with_name("pairs.jsonl.items.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)[1:] if path.exists() else []
    return [json.loads(line)["id"] for line in lines if line.endswith(b"\n")]


def test_ten_kills_lose_no_item_and_ask_for_none_twice(warm, out, tmp_path, capsys):
    chance = random.Random(20)
    with FaultServer() as server:
        # The only run that is not killed tells which request is for which item, and what the pairs must be.
        whole = generate(server, tmp_path / "whole" / "pairs.jsonl", pairs=60, model="M", concurrency=1)
        asked_for = [identity(body) for body in server.bodies]
        item_of = dict(zip(asked_for, whole_ids(tmp_path / "whole" / "pairs.jsonl"), strict=True))
        assert len(item_of) == 100
        server.bodies.clear()
        server.delay = 0.02
        kept: list[str] = []
        for _ in range(10):
            before = len(server.bodies)
            after = before + chance.randint(4, 12)
            process = start(warm, server, out)
            wait_for(lambda after=after: len(server.bodies) >= after)
            time.sleep(chance.random() * 0.04)
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            asked_again = {item_of[identity(body)] for body in server.bodies[before:]} & set(kept)
            assert asked_again == set()
            now = whole_ids(out)
            assert now[: len(kept)] == kept
            kept = now
        process = start(warm, server, out)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    counts = Counter(item_of[identity(body)] for body in server.bodies)
    assert set(counts) == set(item_of.values()) == set(whole_ids(out))
    assert len(whole_ids(out)) == 100
    again = sum(counts.values()) - 100
    # What was under way when the process died may have been asked for again, and nothing else.
    assert again <= 10 * 4
    assert read_pairs(out) == whole
    with capsys.disabled():
        print(
            f" [10 kills, {len(kept)} of 100 items there at the last, {again} asked again that were under way]", end=""
        )


@pytest.mark.slow
@pytest.mark.thorough
def test_with_a_real_server_and_a_small_model_everything_is_accounted_for(lapd, model_server, out):
    url, model = model_server
    done = lapd("generate", "I", "--generator", "openai", "--base-url", url, "--model", model, "--limit", 3,
                "--exchanges", 1, "--tries", 2, "--concurrency", 1, "--max-requests", 20, "--max-tokens", 40,
                "-o", out)  # fmt: skip
    pairs = read_pairs(out) if out.exists() else []
    assert done.returncode == (0 if pairs else 1), done.stderr
    assert len(pairs) + len(rejects(out)) == 3
    assert all(reject["reason"] and reject["stage"] and reject["answers"] for reject in rejects(out))
    assert 3 <= len(items(out)) <= 18
    assert all(0 < row["output_tokens"] <= 40 for row in items(out))
