"""Words for what faceclip knows: phrases, their meaning as attribute coefficients, and sentences made of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

Meaning = dict[str, float]


@dataclass(frozen=True)
class Concept:
    """One meaning and the ways to say it: before the noun, after "with", and as a change asked for."""

    meaning: Meaning
    adjectives: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def concept(meaning: Meaning, adjectives: str = "", nouns: str = "", changes: str = "") -> Concept:
    def split(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    return Concept(meaning, split(adjectives), split(nouns), split(changes))


CONCEPTS = (
    concept(
        {"mouth_curvature": 1.0, "happy": 0.9, "mouth_width": 0.3},
        "smiling, happy, cheerful, joyful, grinning, beaming, delighted, glad, merry, pleased, amused, friendly, jolly",
        "a smile, a big smile, a happy smile, a grin, a happy expression, a cheerful look, raised mouth corners, "
        "upturned lips, a smiling mouth, a warm smile, a gentle smile, happiness, joy",
        "smile, make them smile, make him smile, make her happy, lift the corners of the mouth, add a smile",
    ),
    concept(
        {"mouth_curvature": 0.8, "happy": 1.0, "mouth_open": 0.6},
        "laughing", "a laugh, an open smile, laughter", "laugh, make her laugh",
    ),
    concept(
        {"mouth_curvature": -1.0, "sad": 0.5, "happy": -0.4},
        "sad, unhappy, sorrowful, gloomy, miserable, depressed, upset, melancholic, dejected, frowning, grieving, "
        "downcast, disappointed",
        "a sad expression, a frown, downturned mouth corners, a sad look, a sad mouth, sadness, sorrow, grief",
        "frown, make them sad, make her sad, lower the corners of the mouth",
    ),
    concept(
        {"angry": 1.0, "brow_height": -0.7, "mouth_curvature": -0.2},
        "angry, furious, mad, annoyed, irritated, enraged, hostile",
        "an angry expression, an angry look, anger, rage, a scowl",
        "scowl, make him angry, make them angry",
    ),
    concept(
        {"brow_height": 1.0, "eye_area": 0.6, "surprised": 0.4, "mouth_open": 0.3},
        "surprised, astonished, amazed, shocked, startled, stunned",
        "a surprised expression, a surprised look, surprise, astonishment, an astonished look",
        "make them surprised, make her look surprised",
    ),
    concept(
        {"fearful": 1.0, "eye_area": 0.5, "brow_height": 0.3},
        "fearful, scared, afraid, frightened, terrified, anxious",
        "a fearful expression, fear, a scared look", "make him look scared",
    ),
    concept(
        {"disgusted": 1.0},
        "disgusted, revolted, repulsed", "a disgusted expression, disgust, a disgusted look", "make her disgusted",
    ),
    concept(
        {"neutral": 1.0},
        "neutral, calm, relaxed, expressionless, serious", "a neutral expression, no expression, a calm look, a poker face",
    ),
    concept(
        {"mouth_open": 1.0}, "open-mouthed", "an open mouth, parted lips, the mouth open", "open the mouth, part the lips",
    ),
    concept({"mouth_open": -1.0}, "", "a closed mouth, closed lips, the mouth shut", "close the mouth, shut the mouth"),
    concept(
        {"mouth_width": 1.0}, "wide-mouthed", "a wide mouth, a broad mouth, a big mouth", "widen the mouth, make the mouth wider",
    ),
    concept(
        {"mouth_width": -1.0}, "", "a narrow mouth, a small mouth, a tiny mouth", "make the mouth smaller, narrow the mouth",
    ),
    concept(
        {"lip_thickness": 1.0}, "full-lipped, thick-lipped",
        "thick lips, full lips, big lips, plump lips, large lips, fuller lips, voluminous lips",
        "make the lips fuller, thicken the lips, make the lips bigger",
    ),
    concept(
        {"lip_thickness": -1.0}, "thin-lipped", "thin lips, narrow lips, small lips, thinner lips",
        "make the lips thinner, thin the lips",
    ),
    concept(
        {"eye_area": 1.0}, "big-eyed, wide-eyed",
        "big eyes, large eyes, wide eyes, huge eyes, bigger eyes, wide open eyes, enlarged eyes, large round eyes",
        "enlarge the eyes, make the eyes bigger, open the eyes wide",
    ),
    concept(
        {"eye_area": -1.0}, "small-eyed, squinting",
        "small eyes, narrow eyes, little eyes, tiny eyes, smaller eyes, narrowed eyes, squinting eyes",
        "make the eyes smaller, narrow the eyes, squint",
    ),
    concept(
        {"brow_height": 1.0}, "",
        "raised eyebrows, high eyebrows, raised brows, lifted eyebrows, high brows, arched eyebrows, eyebrows raised",
        "raise the eyebrows, lift the eyebrows, lift the brows",
    ),
    concept(
        {"brow_height": -1.0}, "", "low eyebrows, lowered eyebrows, low brows, lowered brows, furrowed brows",
        "lower the eyebrows, lower the brows",
    ),
    concept(
        {"nose_width": 1.0}, "wide-nosed", "a wide nose, a broad nose, a big nose, a flat nose, a wider nose, wide nostrils",
        "widen the nose, make the nose wider",
    ),
    concept(
        {"nose_width": -1.0}, "narrow-nosed",
        "a narrow nose, a thin nose, a slim nose, a slender nose, a small nose, a narrower nose, narrow nostrils",
        "narrow the nose, make the nose narrower, make the nose thinner, slim the nose",
    ),
    concept({"nose_length": 1.0}, "long-nosed", "a long nose, a longer nose", "lengthen the nose, make the nose longer"),
    concept({"nose_length": -1.0}, "", "a short nose, a shorter nose", "shorten the nose, make the nose shorter"),
    concept(
        {"face_width": 1.0}, "broad-faced, chubby, plump", "a wide face, a broad face, a round face, full cheeks",
        "widen the face, make the face wider",
    ),
    concept(
        {"face_width": -1.0}, "narrow-faced, slim-faced", "a narrow face, a slim face, a thin face, a slender face",
        "slim the face, make the face narrower, make the face slimmer",
    ),
    concept(
        {"jaw_width": 1.0}, "square-jawed", "a wide jaw, a broad jaw, a square jaw, a strong jaw, a wider jaw",
        "widen the jaw, make the jaw wider",
    ),
    concept(
        {"jaw_width": -1.0}, "", "a slim jaw, a narrow jaw, a thin jaw, a slender jaw, a v-shaped jaw, a slimmer jaw, a narrow jawline",
        "slim the jaw, narrow the jaw, make the jaw slimmer, make the jaw narrower",
    ),
    concept({"face_length": 1.0}, "long-faced", "a long face, a long chin, a longer chin", "lengthen the face, lengthen the chin"),
    concept({"face_length": -1.0}, "", "a short face, a short chin, a small chin", "shorten the face, shorten the chin"),
    concept({"old": 1.0}, "old, elderly, aged, older, senior", "old age, an old look", "make him older, age the face"),
    concept({"old": -1.0}, "young, youthful, younger", "a young look, youth", "make her younger, rejuvenate the face"),
    concept({"female": 1.0}, "female, feminine", "a feminine look, feminine features", "make the face more feminine"),
    concept({"female": -1.0}, "male, masculine", "a masculine look, masculine features", "make the face more masculine"),
    concept(
        {"lips_red": 1.0}, "red-lipped", "red lipstick, red lips, lipstick, bright red lips, redder lips, crimson lips, painted lips",
        "put on red lipstick, redden the lips, make the lips red, add lipstick",
    ),
    concept({"lips_red": -1.0}, "", "pale lips, colorless lips, no lipstick, bare lips", "remove the lipstick, make the lips paler"),
    concept(
        {"skin_light": 1.0, "skin_warm": -0.2}, "pale, fair-skinned, light-skinned, pale-skinned",
        "pale skin, fair skin, light skin, white skin, lighter skin, a pale complexion",
        "lighten the skin, make the skin paler",
    ),
    concept(
        {"skin_light": -1.0}, "dark-skinned", "dark skin, black skin, darker skin, a dark complexion",
        "darken the skin, make the skin darker",
    ),
    concept(
        {"skin_light": -0.9, "skin_warm": 0.4}, "tanned, sunburnt, bronzed",
        "tanned skin, a tan, bronzed skin, a suntan, golden skin, brown skin", "tan the skin, give her a tan",
    ),
    concept(
        {"cheeks_red": 1.0}, "rosy-cheeked, blushing, flushed",
        "rosy cheeks, red cheeks, pink cheeks, blush, blush on the cheeks, flushed cheeks, rouge",
        "add blush, redden the cheeks, make the cheeks rosy",
    ),
    concept({"cheeks_red": -1.0}, "", "pale cheeks, colorless cheeks", "make the cheeks paler"),
    concept({"brows_dark": 1.0}, "", "dark eyebrows, black eyebrows, dark brows, bold eyebrows", "darken the eyebrows"),
    concept({"brows_dark": -1.0}, "", "light eyebrows, blond eyebrows, faint eyebrows, light brows", "lighten the eyebrows"),
    concept({"hair_dark": 1.0}, "dark-haired, black-haired", "dark hair, black hair, brunette hair, darker hair", "darken the hair"),
    concept({"hair_dark": -1.0}, "blond, fair-haired, blonde", "blond hair, light hair, blonde hair, fair hair", "lighten the hair"),
    concept({"eyes_brown": 1.0}, "brown-eyed", "brown eyes, hazel eyes, amber eyes", "make the eyes brown"),
    concept({"eyes_brown": -1.0}, "blue-eyed", "blue eyes, gray eyes, bright blue eyes", "make the eyes blue"),
)  # fmt: skip

PEOPLE: tuple[tuple[str, Meaning], ...] = (
    ("face", {}), ("person", {}), ("portrait", {}), ("human face", {}), ("human", {}), ("someone", {}), ("model", {}),
    ("woman", {"female": 0.7}), ("lady", {"female": 0.7}), ("girl", {"female": 0.7, "old": -0.6}),
    ("man", {"female": -0.7}), ("guy", {"female": -0.7}), ("boy", {"female": -0.7, "old": -0.6}),
    ("gentleman", {"female": -0.7, "old": 0.3}), ("child", {"old": -1.0}), ("kid", {"old": -1.0}),
    ("adult", {}), ("young woman", {"female": 0.7, "old": -0.7}), ("old man", {"female": -0.7, "old": 0.8}),
)  # fmt: skip
FRAMES = (
    "{}", "{}", "a photo of {}", "a portrait of {}", "a picture of {}", "an image of {}", "photo of {}", "close-up of {}",
    "a close-up photo of {}", "the face of {}", "this is {}", "a headshot of {}",
)  # fmt: skip
DEGREES = (
    ("slightly", 0.5), ("a little", 0.5), ("a bit", 0.5), ("somewhat", 0.7), ("very", 1.4), ("really", 1.3),
    ("extremely", 1.6), ("strongly", 1.4), ("so", 1.2), ("quite", 1.0),
)  # fmt: skip
FOREIGN = (
    "car, dog, cat, house, tree, mountain, table, chair, computer, keyboard, phone, train, airplane, boat, bridge, "
    "river, ocean, beach, forest, flower, garden, kitchen, bottle, glass, cup, plate, pizza, banana, apple, bread, "
    "cheese, soup, cake, guitar, piano, drum, music, football, basketball, tennis, bicycle, motorcycle, bus, truck, "
    "street, city, paris, london, tokyo, new york, germany, france, china, africa, castle, church, tower, window, door, "
    "roof, wall, floor, lamp, sofa, bed, pillow, shoe, shirt, jacket, trousers, sock, ring, watch, clock, book, "
    "newspaper, pencil, paper, math, equation, physics, engine, rocket, planet, moon, star, sun, sky, cloud, rain, "
    "snow, winter, summer, horse, cow, sheep, elephant, lion, tiger, bird, eagle, fish, shark, whale, spider, snake, "
    "robot, dragon, sword, gun, tank, money, bank, tax, stock market, software, python code, database, server, "
    "internet, email, website, video game, chess, movie, camera lens, painting of fruit, landscape, sunset, volcano, "
    "desert, island, map, flag, king, president, politics, war, peace, law, contract, hospital, medicine, virus, cell, "
    "molecule, atom, battery, solar panel, wind, hammer, screwdriver, nail, brick, concrete, glasses of water, wine, "
    "beer, coffee, tea, salad, steak, rice, noodles, spoon, fork, knife, oven, fridge, toaster, carpet, curtain, "
    "spaceship, unicorn, bulldozer, tractor, wheat, corn, potato, carrot, tomato, orange juice, pyramid, statue, "
    "museum, library, school, classroom, exam, homework, basket, suitcase, passport, ticket, hotel, swimming pool"
)
FOREIGN_FRAMES = (
    "{}", "a {}", "a photo of a {}", "a picture of {}", "the {} is here", "a red {}", "a big {}", "a small {}", "an old {}",
    "a {} and a {}", "the {} of the {}", "make a {}", "turn it into a {}", "a wide {}", "a beautiful {}", "a {} with a {}",
    "a happy {}", "long {}", "a dark {}",
)  # fmt: skip
UNKNOWN = "<unknown>"  # a word the tower never saw; the trainer puts tokens without a vector there


def describe(rng: random.Random) -> tuple[str, Meaning]:
    """Make a caption about a face, and what it means."""
    meaning: Meaning = {}

    def add(part: Meaning, weight: float) -> None:
        for name, value in part.items():
            meaning[name] = meaning.get(name, 0.0) + weight * value

    def say(phrase: str, part: Meaning, *, plain: bool) -> str:
        roll = rng.random()
        if plain or roll < 0.75:
            add(part, 1.0)
            return phrase
        if roll < 0.92:
            word, weight = rng.choice(DEGREES)
            add(part, weight)
            article, _, rest = phrase.partition(" ")
            return f"{article} {word} {rest}" if article in ("a", "an") else f"{word} {phrase}"
        add(part, -0.7)
        return f"not {phrase}"

    chosen = rng.sample(CONCEPTS, rng.choices((1, 2, 3), (0.72, 0.2, 0.08))[0])
    plain = rng.random() < 0.5
    who, who_means = rng.choice(PEOPLE[:3]) if rng.random() < 0.6 else rng.choice(PEOPLE)
    front, back = [], []
    for each in chosen:
        if each.changes and len(chosen) == 1 and rng.random() < 0.2:
            add(each.meaning, 1.0)
            return rng.choice(each.changes), meaning
        if each.adjectives and (rng.random() < 0.5 or not each.nouns):
            front.append(say(rng.choice(each.adjectives), each.meaning, plain=plain))
        else:
            back.append(say(rng.choice(each.nouns), each.meaning, plain=plain))
    if rng.random() < 0.4 and not (front and back):  # the bare words
        return " and ".join(front or back), meaning
    add(who_means, 1.0)
    stray = f"{UNKNOWN} " if rng.random() < 0.06 else ""
    words = f"{stray}{', '.join(front)} {who}".strip() if front else f"{stray}{who}"
    article = rng.choice(("a", "the", "one")) if rng.random() < 0.3 else ("an" if words[0] in "aeiou" else "a")
    text = f"{article} {words}" if who != "someone" else words
    if back:
        text += f" {rng.choice(('with', 'with', 'who has', 'having'))} {' and '.join(back)}"
    return rng.choice(FRAMES).format(text), meaning


def foreign(rng: random.Random) -> str:
    """Make a prompt about anything but a face; half of its nouns are words the tower never saw."""
    nouns = FOREIGN.split(", ")

    def noun() -> str:
        if rng.random() < 0.5:
            return " ".join([UNKNOWN] * rng.choices((1, 2, 3), (0.6, 0.3, 0.1))[0])
        return rng.choice(nouns)

    frame = rng.choice(FOREIGN_FRAMES)
    return frame.format(*(noun() for _ in range(frame.count("{}"))))
