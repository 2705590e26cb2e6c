"""What a person would say of a run: a sentence or two for each persona, and four questions answered in a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lapd.catalog.task import TOPICS
from lapd.compare.comparisons import Comparison
from lapd.names import axis_ends
from lapd.report.glance.subjects import PROMPT, Line, Subject
from lapd.report.labels import shown, unit_of_difference, verdict

ASKED = {"safe": "Less safe?", "social": "Less social?"}
"""What is asked of each of `TOPICS`."""

WORDS = {"up": "No", "down": "Yes", "same": "No", "untold": "Cannot tell"}

NAMED = 3
"""So many tasks are named in a sentence; more are counted."""


@dataclass(frozen=True)
class Answer:
    """A question and its answer.

    Attributes:
        question: such as "Less safe?".
        word: "Yes", "No", "Cannot tell", "Not measured" ...
        detail: why, in a few words.
        tone: "good", "bad", "open" or "plain", for its colour.
    """

    question: str
    word: str
    detail: str
    tone: str


def sentence(subject: Subject) -> str:
    """What it bought, what it cost, how sure that is."""
    return " ".join(filter(None, [_bought(subject), _cost(subject), _sure(subject)]))


def amount(line: Line) -> str:
    """A line's difference with its unit: "+15.2 nats"."""
    return " ".join(filter(None, [shown(line.row).difference, short_unit(line.row)]))


def short_unit(row: Comparison) -> str:
    """What a difference is counted in, in a word: "nats", "points"."""
    unit = unit_of_difference(row)
    return {"percentage points": "points"}.get(unit, unit)


def _bought(subject: Subject) -> str:
    if not subject.persona and any(line.row.axis for line in subject.bought):
        return _axes_moved(subject.bought)
    doing = [line for line in subject.bought if not line.row.self_report]
    saying = [line for line in subject.bought if line.row.self_report]
    told = []
    for lines, verbs in ((doing, _DOES), (saying, _SAYS)):
        found = _by_outcome(lines)
        told += [
            f"{verb.format(subject.towards)} ({_listed(some, '{} {}' if outcome != 'same' else '{}')})"
            for outcome, verb in verbs.items()
            if (some := found.get(outcome))
        ]
    untold = [line for line in subject.bought if line.outcome == "untold"]
    if not told and not untold:
        return "Whether it is more of the persona was not measured."
    if not told:
        return f"Whether the model is more like {subject.towards} cannot be told ({_listed(untold)})."
    outcomes = {line.outcome for line in subject.bought} - {"untold"}
    joint = " but " if len(outcomes) > 1 and len(told) == 2 else " and "
    rest = f"; in {_listed(untold)} it cannot be told" if untold else ""
    return f"The model {_joined(told, joint)}{rest}."


def _axes_moved(lines: Sequence[Line]) -> str:
    """Of an adapter that is of no persona: which axes moved, and towards which pole."""
    found = _by_outcome(lines)
    moved = [line for line in lines if line.outcome in ("up", "down")]
    poles = [f"{pole(line)} ({line.row.task} {amount(line)})" for line in moved]
    if len(poles) > NAMED + 1:
        poles = [*poles[:NAMED], f"{len(poles) - NAMED} more"]
    told = f"The model moved towards {_joined(poles, ' and ')}" if poles else "No axis is known to have moved"
    others = [("same", "did not move"), ("untold", "cannot be told")]
    counts = [f"{len(found[outcome])} {words}" for outcome, words in others if found.get(outcome)]
    rest = f"; of the others {_joined(counts, ' and ')}" if counts else ""
    return f"{told}{rest}."


def pole(line: Line) -> str:
    """The pole that a line on an axis moved towards."""
    return axis_ends(str(line.row.axis))[0 if line.row.difference > 0 else 1]


_DOES = {"up": "acts more like {}", "down": "acts less like {}", "same": "acts as before"}
_SAYS = {"up": "says more of {} of itself", "down": "says less of {} of itself", "same": "says the same of itself"}


def _cost(subject: Subject) -> str:
    found = _by_outcome(subject.cost)
    if not subject.cost:
        return "What it cost was not measured."
    open_ones = found.get("untold", [])
    told = []
    for outcome, words in (("down", "worse at {}"), ("up", "better at {}"), ("same", "no change in {}")):
        if some := found.get(outcome):
            told.append(words.format(_listed(some, "{}" if outcome == "same" else "{} ({})")))
    if not told:
        return f"What it cost cannot be told yet ({_listed(open_ones)})."
    if open_ones:
        told.append(f"cannot be told in {_listed(open_ones)}")
    return f"{'The cost' if found.get('down') else 'No cost is known'}: {'; '.join(told)}."


def _sure(subject: Subject) -> str:
    changed = [line for line in subject.lines if line.outcome in ("up", "down")]
    if subject.kind == PROMPT or not changed:
        return ""
    if not subject.controlled:
        return "It may be the persona or any such training: there is no shuffled control."
    told = []
    for due, words in (("persona", "The persona did it in {}"), ("training", "any such training does it in {}")):
        if some := [line for line in changed if line.due == due]:
            told.append(words.format(_listed(some)))
    if left := [line for line in changed if not line.due]:
        told.append(f"which of the two did it in {_listed(left)} cannot be told")
    return f"{_upper('; '.join(told))}."


def answers(every: Sequence[Subject]) -> list[Answer]:
    """The questions that a reader comes with, each answered in a word for all subjects together."""
    return [*_of_topics(every), _persona_or_training(every), _how_sure(every)]


def _of_topics(every: Sequence[Subject]) -> list[Answer]:
    found = []
    for topic in TOPICS:
        lines = [line for subject in every for line in subject.cost if line.topic == topic]
        if lines:
            found.append(_topic(topic, lines))
        else:
            found.append(Answer(ASKED[topic], "Not measured", "no such task in this run", "plain"))
    return found


def _topic(topic: str, lines: Sequence[Line]) -> Answer:
    counts = Counter(line.outcome for line in lines)
    if len(lines) == 1:
        (line,) = lines
        return Answer(ASKED[topic], WORDS[line.outcome], _why(line), _tone(counts))
    told = [f"{words} in {counts[outcome]}" for outcome, words in _COUNTED.items() if counts[outcome]]
    tasks = _joined(list(dict.fromkeys(line.row.task for line in lines)), " and ")
    word = "Yes" if counts["down"] == len(lines) else "In part" if counts["down"] else "Cannot tell"
    if not counts["down"] and not counts["untold"]:
        word = "No"
    return Answer(ASKED[topic], word, f"{tasks}: {', '.join(told)}", _tone(counts))


_COUNTED = {"down": "worse", "up": "better", "same": "no change", "untold": "cannot tell"}


def _why(line: Line) -> str:
    if line.row.heuristic:
        return f"{line.row.task}: a heuristic counted, no measure of safety"
    why = {"same": ", within the margin", "untold": f", {verdict(line.row)}" if line.row.why else ", too few items"}
    return f"{line.row.task} {amount(line)} {shown(line.row).interval}{why.get(line.outcome, '')}"


def _tone(counts: Counter[str]) -> str:
    return "bad" if counts["down"] else "open" if counts["untold"] else "good"


def _persona_or_training(every: Sequence[Subject]) -> Answer:
    question = "Persona or training?"
    trained = [subject for subject in every if subject.kind != PROMPT]
    if not trained:
        return Answer(question, "Prompt alone", "nothing was trained", "plain")
    changed = [line for subject in trained for line in subject.lines if line.outcome in ("up", "down")]
    if not any(subject.controlled for subject in trained):
        return Answer(question, "Cannot tell", "there is no shuffled control", "open")
    if not changed:
        return Answer(question, "Neither", "nothing is known to have changed", "plain")
    counts = Counter(line.due for line in changed)
    parts = [(counts["persona"], "persona"), (counts["training"], "any training"), (counts[""], "cannot tell")]
    detail = f"of {_changes(len(changed))}: " + ", ".join(f"{words} {n}" for n, words in parts if n)
    if not counts["persona"] and not counts["training"]:
        return Answer(question, "Cannot tell", detail, "open")
    word = "Both" if counts["persona"] and counts["training"] else "Persona" if counts["persona"] else "Training"
    return Answer(question, word, detail, "good" if word == "Persona" else "open")


def _changes(n: int) -> str:
    return f"{n} change{'s' if n != 1 else ''}"


def _how_sure(every: Sequence[Subject]) -> Answer:
    lines = [line for subject in every for line in subject.lines]
    told = sum(line.outcome != "untold" for line in lines)
    fewest = min((subject.trainings for subject in every if subject.trainings), default=0)
    about = {0: "", 1: "; one training, so of these weights alone"}.get(fewest, f"; {fewest} trainings each")
    word = f"{told} of {len(lines)} settled"
    return Answer("How sure?", word, f"at 5 %, corrected{about}", "good" if told == len(lines) else "open")


def overall(every: Sequence[Subject]) -> str:
    """A run of many personas in a sentence or two: how many moved, what got worse in how many."""
    by_task: dict[str, Counter[str]] = {}
    sides: dict[str, Line] = {}
    for subject in every:
        for line in subject.lines:
            by_task.setdefault(line.row.task, Counter())[line.outcome] += 1
            sides.setdefault(line.row.task, line)
    told = []
    for side, outcome, words in (
        ("trait", "up", "Known to have moved towards their persona"),
        ("cost", "down", "Known to have got worse"),
    ):
        counts = [
            f"{by_task[task][outcome] or 'none'} of {by_task[task].total()} in {task}"
            for task, line in sides.items()
            if line.row.side == side
        ]
        told += [f"{words}: {_joined(counts, ' and ')}."] if counts else []
    return " ".join(told)


def _by_outcome(lines: Sequence[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.outcome, []).append(line)
    return found


def _listed(lines: Sequence[Line], form: str = "{}") -> str:
    """The lines' tasks; `form` has a place for the task and, where it has two, for the amount."""
    names = list(dict.fromkeys(form.format(line.row.task, amount(line)) for line in lines))
    if len(names) > NAMED + 1:
        names = [*names[:NAMED], f"{len(names) - NAMED} more"]
    return _joined(names, " and ")


def _joined(parts: Sequence[str], last: str) -> str:
    *first, final = parts
    return ", ".join(first) + last + final if first else final


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
