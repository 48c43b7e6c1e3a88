"""Small labeled datasets of the shapes of practice, generated from templates.

Classes share words, so that no single word decides, and texts have synonyms and typing errors. Each
dataset has training rows as few as in practice and 400 test rows, so that a difference of a few
points can be measured.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from core.data.sources import AG_NEWS_CLASSES, find_source
from core.settings import Settings

TEST_ROWS = 400
TYPO_SHARE = 0.08  # of the words of a short text
Draw = Callable[[str, random.Random], str]

INTENTS = {
    "weather": "rain|umbrella|forecast|sunny|temperature outside|snow|storm|degrees|windy|cloudy",
    "music": "play a song|playlist|album|volume up|singer|next track|tune|band|radio|lyrics",
    "alarm": "wake me|alarm|timer|remind me|snooze|at six sharp|countdown|buzzer|clock",
    "restaurant": "book a table|dinner|menu|vegan place|lunch|pizza|reservation|cafe|eat out",
    "traffic": "traffic|route home|road closed|drive to work|jam|parking|motorway|exit",
    "transfer": "send money|transfer|pay my friend|account balance|wire|deposit|bank|euros to|loan",
}
CARRIERS = (
    "please {}",
    "can you {} for me today",
    "i would like to know about {}",
    "hey, {} tomorrow if possible",
    "what about {} in the city",
    "need {} asap thanks",
    "{} now",
    "could someone help with {} this weekend",
    "show me {} near the station",
    "is there anything on {}",
)
ACTIONS = {
    "cancel": "cancel|stop|call off|revoke",
    "order": "order|get a new|request|apply for",
    "lose": "lost|cannot find|misplaced|no longer have",
    "delay": "still waiting for|has not arrived|is late|where is",
    "refund": "refund for|money back for|return|reimburse",
    "fee": "charged for|extra fee on|cost of|why pay for",
    "change": "change|update|modify|edit",
    "verify": "verify|confirm|validate|check",
    "fail": "declined|does not work|failed|rejected",
    "limit": "limit on|maximum for|how many|cap on",
    "activate": "activate|switch on|enable|start using",
}
OBJECTS = {
    "card": "card|debit card|plastic",
    "transfer": "transfer|bank transfer|wire",
    "top-up": "top-up|top up|balance load",
    "pin": "pin|passcode|secret code",
    "cash": "cash withdrawal|cash machine|atm money",
    "account": "account|profile|login",
    "currency": "currency exchange|foreign money|exchange rate",
}
TOPICS = {
    "hardware": "drive|board|monitor|cable|driver|memory|disk|port",
    "vehicles": "engine|brake|tyre|dealer|clutch|mileage|wheel|fuel",
    "space": "orbit|launch|shuttle|telescope|lunar|rocket|probe|crew",
    "medicine": "doctor|dose|patient|symptom|treatment|vitamin|infection|study",
    "religion": "belief|scripture|faith|church|prayer|doctrine|verse|sin",
}
FACETS = {
    "for sale": "offer|shipping|price|condition|asking|obo|sell|email",
    "question": "anyone|wondering|advice|recommend|does|problem|help|thanks in advance",
    "opinion": "disagree|argument|wrong|claim|people|evidence|nonsense|believe",
    "news": "announced|yesterday|report|official|according|week|agency|statement",
}
FILLER = (
    "the a of to and in it that was for on with as at by from this have been which their there"
    " about some more than very only also into over after before when while other such then these"
)
PLOT = (
    "The story follows a family that moves to the coast.",
    "Most scenes take place in one apartment during winter.",
    "The director worked with the same crew on two earlier projects.",
    "There are flashbacks to the summer before the war.",
    "A detective arrives in the second act with a letter.",
    "The running time is a little over two hours.",
    "The script is based on a novel from the seventies.",
    "We saw it on a weekday evening with a small audience.",
    "The leading role is played by an actor known from television.",
    "The soundtrack uses piano and a few old songs.",
)
PRAISE = "moving|charming|witty|gripping|superb|delightful|memorable|touching|brilliant"
BLAME = "boring|clumsy|flat|tedious|awful|predictable|lifeless|annoying|dull"
OPINIONS = (
    "I found the dialogue {}.",
    "The ending was {} to me.",
    "Honestly, the performances were {}.",
    "My friends called the pacing {}.",
    "Some of the camera work is {}.",
    "The humour felt {} throughout.",
)
ORDINARY = "invoice|meeting|schedule|delivery|report|colleague|printer|holiday|lunch|training"
URGENT = "outage|down since|cannot access|data loss|security breach|escalate|critical|emergency"


def misspell(text: str, rng: random.Random) -> str:
    """Swap two letters, or drop one, in some of the words."""
    words = text.split()
    for position, word in enumerate(words):
        if len(word) > 3 and rng.random() < TYPO_SHARE:
            at = rng.randrange(1, len(word) - 1)
            swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            words[position] = swapped if rng.random() < 0.5 else word[:at] + word[at + 1 :]
    return " ".join(words)


def draw_intent(label: str, rng: random.Random) -> str:
    """Draw a short request."""
    text = rng.choice(CARRIERS).format(rng.choice(INTENTS[label].split("|")))
    return misspell(text, rng)


def draw_banking(label: str, rng: random.Random) -> str:
    """Draw a request whose class is a combination of an action and an object."""
    action, kind = label.split(" ", 1)
    act, thing = (
        rng.choice(words[name].split("|")) for words, name in ((ACTIONS, action), (OBJECTS, kind))
    )
    pair = rng.choice((f"{act} my {thing}", f"my {thing}, {act}", f"{act} the {thing}"))
    return misspell(rng.choice(CARRIERS).format(pair), rng)


def draw_group(label: str, rng: random.Random) -> str:
    """Draw a post of some 40 words, of one of five topics and one of four kinds."""
    topic, facet = label.split(": ")
    words = rng.choices(TOPICS[topic].split("|"), k=4) + rng.choices(FACETS[facet].split("|"), k=4)
    words += rng.choices([word for each in TOPICS.values() for word in each.split("|")], k=2)
    words += rng.choices(FILLER.split(), k=30)
    rng.shuffle(words)
    return misspell(" ".join(words), rng)


def draw_review(label: str, rng: random.Random) -> str:
    """Draw a review of 200 to 400 words, two thirds of whose opinions agree with its class."""
    agreeing, other = (PRAISE, BLAME) if label == "positive" else (BLAME, PRAISE)
    sentences: list[str] = []
    while sum(len(sentence.split()) for sentence in sentences) < rng.randint(200, 400):
        if rng.random() < 0.3:
            words = agreeing if rng.random() < 0.67 else other
            sentences.append(rng.choice(OPINIONS).format(rng.choice(words.split("|"))))
        else:
            sentences.append(rng.choice(PLOT))
    return " ".join(sentences)


def draw_ticket(label: str, rng: random.Random) -> str:
    """Draw a support ticket, of which few are urgent."""
    words = rng.choices(ORDINARY.split("|"), k=4) + rng.choices(FILLER.split(), k=8)
    if label == "urgent":
        words += rng.choices(URGENT.split("|"), k=2)
    rng.shuffle(words)
    return misspell(" ".join(words), rng)


BANKING = [f"{action} {thing}" for action in ACTIONS for thing in OBJECTS]
GROUPS = [f"{topic}: {facet}" for topic in TOPICS for facet in FACETS]
# name: training rows of each class, and the function that draws a text of a class
SHAPES: dict[str, tuple[dict[str, int], Draw]] = {
    "6 intents": (dict.fromkeys(INTENTS, 60), draw_intent),
    "20 groups": (dict.fromkeys(GROUPS, 30), draw_group),
    "imbalanced": ({"ordinary": 760, "urgent": 40}, draw_ticket),
    "long reviews": ({"positive": 150, "negative": 150}, draw_review),
    "77 intents": (dict.fromkeys(BANKING, 40), draw_banking),
}


def write_shape(name: str, folder: Path) -> Path:
    """Write a dataset as ``train.csv`` and ``test.csv`` into a folder, and return the folder."""
    counts, draw = SHAPES[name]
    total = sum(counts.values())
    tests = {label: max(1, round(TEST_ROWS * rows / total)) for label, rows in counts.items()}
    target = folder / name.replace(" ", "-")
    target.mkdir(parents=True)
    seen: set[str] = set()
    for split, amounts in (("train", counts), ("test", tests)):
        rng = random.Random(f"{name} {split}")
        rows = []
        for label in (label for label, amount in amounts.items() for _ in range(amount)):
            while (text := draw(label, rng)) in seen:  # no text occurs twice
                pass
            seen.add(text)
            rows.append({"text": text, "label": label})
        rng.shuffle(rows)
        pd.DataFrame(rows).to_csv(target / f"{split}.csv", index=False)
    return target


def write_news(folder: Path, rows: int = 50) -> Path | None:
    """Write ``rows`` real news texts of each class; None if ``LORALAB_DATA`` names no folder."""
    source = find_source(Settings())
    if source.folder is None:
        return None
    target = folder / "real-news"
    target.mkdir(parents=True)
    for split, amount in (("train", rows), ("test", TEST_ROWS // len(AG_NEWS_CLASSES))):
        path = next(Path(source.folder).glob(f"{split}*.parquet"))
        frame = pd.read_parquet(path)
        part = frame.groupby("label").sample(amount, random_state=0)
        part.assign(label=[AG_NEWS_CLASSES[label] for label in part["label"]]).to_csv(
            target / f"{split}.csv", index=False
        )
    return target
