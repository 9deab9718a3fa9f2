"""One user's work in the app: a photo, the edits found for it, and what is done with them. Knows no page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import flowedit
from flowedit.app.face_map import draw_map, find_part
from flowedit.app.history import History
from flowedit.app.names import safe_name
from flowedit.app.preview import Preview
from flowedit.app.recipe import Entry, Recipe, check_share, combine, unrestricted
from flowedit.app.session_files import SessionFiles
from flowedit.checks import require
from flowedit.config import Config
from flowedit.face.crop import Crop, crop_key, face_crop
from flowedit.face.regions import REGIONS
from flowedit.photo import photo as images
from flowedit.photo.metadata import Metadata
from flowedit.photo.png import quick_png
from flowedit.task.prepare import PREDICTED_STEPS
from flowedit.transform.transforms import cost

if TYPE_CHECKING:
    from flowedit.edit import Edit
    from flowedit.fit.iterate import Step
    from flowedit.photo.photo import Photo

MOST_ENTRIES = 8  # lines of the list
MOST_LETTERS = 300  # of a prompt
MOST_COST = 100  # evaluations of fields at a pixel, of an edit that is opened
DRAWS = 4
NEAR = 0.7  # of the crop, that shows the face without its surroundings


@dataclass(frozen=True)
class Settings:
    """How all sessions find edits.

    Attributes:
        config: as for `optimize`; face, region and protect are set by the page.
        encoder: as for `optimize`.
        predictor: as for `predict`.
        most_pixels: of a photo.
    """

    config: Config = field(default_factory=Config)
    encoder: str | None = None
    predictor: str | None = None
    most_pixels: int = 100_000_000


class Session:
    """A photo and what is done to it; methods may be called from any thread.

    Args:
        folder: for this session's files alone; made, and removed by `close`.
        settings: of the app.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.files, self.settings = SessionFiles(folder), settings or Settings()
        self.photo: Photo | None = None
        self.name = "photo"
        self.crops: list[Crop] = []  # over the faces, from left to right
        self.face: int | str = "largest"
        self.history = History()
        self.edits: dict[int, Edit] = {}
        self.draws: list[Edit] = []  # the last variants
        self.waiting: list[int] = []  # numbers of edits that are to be refined
        self.folder_stop = threading.Event()  # ends the work on a folder of photos
        self.used = time.monotonic()
        self.preview: Preview | None = None
        self._searches: set[threading.Event] = set()  # which end when they are set
        self._lock = threading.RLock()
        self._last_key = 0
        self._before: Path | None = None
        self._map: tuple[object, Path] | None = None

    @property
    def recipe(self) -> Recipe:
        """What is done to the photo."""
        return self.history.recipe

    def open_photo(self, path: str | Path, name: str | None = None) -> None:
        """Read a photo and find its faces; all earlier work is let go.

        Args:
            path: its file.
            name: the user's own name for it.

        Raises:
            OSError, ValueError: it cannot be read, is too large, or shows no face.
        """
        from flowedit.face.detect import find_faces

        photo = self.read_photo(path)
        faces = find_faces(photo, turned=True)
        require(len(faces) > 0, "no face was found in this photo: take one that shows a face from the front")
        with self._lock:
            self.clear()
            self.photo, self.name = photo, safe_name(name or Path(path).name)
            self.crops = [face_crop(each.landmarks) for each in faces]
            self.preview = Preview(photo)

    def read_photo(self, path: str | Path) -> Photo:
        """Read a picture's file within the app's limits; its path is not kept.

        Raises:
            OSError, ValueError: it cannot be read, or is too large.
        """
        width, height = images.read_sides(path)
        most = self.settings.most_pixels
        require(width * height <= most, f"a photo must have at most {most // 1_000_000} megapixels; "
                f"got {width * height / 1e6:.0f}")  # fmt: skip
        return replace(images.load(path), path=None)

    def clear(self) -> None:
        """Let the photo and all work on it go."""
        with self._lock:
            self.stop()
            self.photo, self.preview, self.crops, self.waiting = None, None, [], []
            self.face, self.history, self.edits, self.draws = "largest", History(), {}, []
            self.files.clear()
            self._before, self._map = None, None

    def choose_face(self, face: int | str) -> None:
        """Say who is edited from now on: "largest", "all", or an index from the left."""
        require(face in ("largest", "all") or face in range(len(self.crops)), f"there is no face {face!r:.20}")
        self.face = face

    def part_at(self, x: float, y: float) -> str | None:
        """Return the part at a place of `face_picture`, from 0 to 1 across and down; None beside the face."""
        return find_part(self._crop(), x, y)

    def face_picture(self) -> Path:
        """Draw the chosen face with the parts that are kept, and the one worked on, in color."""
        photo, crop, recipe = self._photo(), self._crop(), self.recipe
        drawn = (crop_key(crop), recipe.region, recipe.protect)
        if self._map is None or self._map[0] != drawn or not self._map[1].exists():
            pixels = draw_map(photo, crop, recipe.region, recipe.protect)
            self._map = drawn, self.files.write("map.png", quick_png(pixels, Metadata()))
        return self._map[1]

    def add(self, prompt: str) -> int:
        """Predict an edit for a prompt, in one pass, and put it at the list's end; return its number.

        Raises:
            ValueError: there is no photo, the list is full, or the prompt is none.
        """
        text = self._check_prompt(prompt)
        return self.insert(unrestricted(self.predict(self._photo(), text)))

    def predict(self, photo: Photo, prompt: str | Mapping[str, float], n: int = 1) -> Any:
        """Predict an edit of any photo, or several, as `flowedit.predict`, by the app's settings and chosen parts."""
        config, settings = self._config(), self.settings
        if photo is not self.photo:  # where the chosen face may not be
            config = replace(config, face="all" if self.face == "all" else "largest")
        how: dict[str, Any] = {"encoder": settings.encoder, "predictor": settings.predictor, "n": n}
        return flowedit.predict(photo, prompt, config=config, **how)

    def insert(self, edit: Edit) -> int:
        """Put an edit of the photo at the list's end; return its number."""
        with self._lock:
            require(edit.origin == self._photo().sha256, "this edit is of another photo")
            self._check_room()
            self._last_key += 1
            self.edits[self._last_key] = edit
            self._set(replace(self.recipe, entries=(*self.recipe.entries, Entry(self._last_key))))
            return self._last_key

    def refine(self, key: int, callback: Callable[[Step], object] | None = None, steps: int | None = None) -> bool:
        """Search on from an edit of the list, and put what is found in its place; the list may change meanwhile.

        Args:
            key: its number.
            callback: called with every step of the search.
            steps: how many; None is the config's.

        Returns:
            Whether the edit was replaced: not so where the search was stopped before its end, or the photo has gone.
        """
        with self._lock:
            edit = self.edits.get(key)
            if edit is None or edit.config is None or not edit.prompts or edit.stopped != "predicted":
                return False
            photo, config = self._photo(), edit.config
            stop = threading.Event()
            self._searches.add(stop)

        def watch(step: Step) -> bool:
            if callback is not None and not stop.is_set():
                callback(step)
            return not stop.is_set()

        how: dict[str, Any] = {"encoder": self.settings.encoder, "callback": watch, "progress": False}
        how["start"] = "predict"
        if self.settings.predictor is not None:
            how["start"] = flowedit.load_predictor(self.settings.predictor)
        config = config if steps is None else replace(config, steps=steps)
        try:
            found = flowedit.optimize(photo, dict(edit.prompts), config=config, **how)
        finally:
            self._searches.discard(stop)
        with self._lock:
            if stop.is_set() or self.edits.get(key) is not edit:
                return False
            self.edits[key] = unrestricted(found)
            return True

    def steps(self, key: int) -> int:
        """Return how many steps `refine` takes for an edit, at most; 1 where that is not known."""
        edit = self.edits.get(key)
        return 1 if edit is None or edit.config is None else edit.config.steps or PREDICTED_STEPS

    def stop(self) -> None:
        """End the searches that are going on; what was predicted stays."""
        for search in list(self._searches):
            search.set()

    def set(self, control: str = "", **values: Any) -> None:
        """Change strength, shape, color, region, protect or in_turn.

        Args:
            control: what was moved, see `History.change`.
            values: attributes of `Recipe`.
        """
        for name in ("strength", "shape", "color"):
            if name in values:
                values[name] = check_share(name, values[name])
        with self._lock:
            self._set(replace(self.recipe, **values), control)

    def set_part(self, name: str, share: float) -> None:
        """Say how much of the edit a part of the face takes."""
        require(name in REGIONS, f"a part must be one of {', '.join(REGIONS)}; got {name!r:.20}")
        share = check_share(name, share)
        with self._lock:
            self._set(replace(self.recipe, parts={**self.recipe.parts, name: share}), f"part {name}")

    def weigh(self, row: int, weight: float) -> None:
        """Give a line of the list a weight, from 0 to 2."""
        weight = check_share("weight", weight)
        with self._lock:
            entries = list(self._rows(row))
            entries[row] = replace(entries[row], weight=weight)
            self._set(replace(self.recipe, entries=tuple(entries)), f"weight {entries[row].key}")

    def move(self, row: int, by: int) -> None:
        """Move a line of the list down by so many places, or up; at its end it stays."""
        with self._lock:
            entries = list(self._rows(row))
            entries.insert(max(0, row + by), entries.pop(row))
            self._set(replace(self.recipe, entries=tuple(entries)))

    def remove(self, row: int) -> None:
        """Take a line off the list."""
        with self._lock:
            entries = self._rows(row)
            self._set(replace(self.recipe, entries=entries[:row] + entries[row + 1 :]))

    def click(self, name: str, only: bool) -> None:
        """Protect a part of the face, or free it again; or keep the edit to it, or let it go again."""
        with self._lock:
            recipe = self.recipe
            if only:
                changed = replace(recipe, region=None if recipe.region == name else name)
            else:
                rest = tuple(each for each in recipe.protect if each != name)
                changed = replace(recipe, protect=rest if name in recipe.protect else (*rest, name))
            combine(changed, self.edits)  # raises where an edit cannot be kept so
            self._set(changed)

    def undo(self) -> bool:
        """Take the last change back; False where there is none."""
        with self._lock:
            return self.history.undo()

    def redo(self) -> bool:
        """Do again what was taken back last; False where there is nothing."""
        with self._lock:
            return self.history.redo()

    def lines(self) -> list[tuple[str, float]]:
        """Return the list as texts and weights."""
        with self._lock:
            return [(" + ".join(self.edits[each.key].prompts) or "edit", each.weight) for each in self.recipe.entries]

    def pictures(self) -> tuple[Path, Path]:
        """Draw the photo and what is done to it, as the page shows them; at strength 0 both are one file."""
        with self._lock:
            self._photo()
            preview, recipe, edits = self.preview, self.recipe, dict(self.edits)
            assert preview is not None  # it comes with the photo
            if self._before is None or not self._before.exists():
                self._before = self.files.write("before.png", preview.png())
            before = self._before
        pixels = preview.draw(recipe, edits)
        if pixels is preview.photo.pixels:
            return before, before
        return before, self.files.write("after.png", preview.png(pixels))

    def whole(self) -> Edit:
        """Return the edit that the list and the sliders amount to.

        Raises:
            ValueError: the list is empty.
        """
        with self._lock:
            self._photo()
            recipe, edit = self.recipe, combine(self.recipe, self.edits)
        require(edit is not None, "there is nothing to save yet: type a prompt and add it")
        assert edit is not None  # for the type checker
        return edit if recipe.strength == 1 else recipe.strength * edit

    def open_edit(self, path: str | Path) -> int:
        """Put a saved edit at the list's end, on this photo: as it was, or carried from another face.

        Raises:
            OSError, ValueError: it cannot be read, or not be put on this face.
        """
        edit = flowedit.load(path)
        require(not edit.facts.in_place, "this file undoes an edit, on the edited picture: use flowedit apply --undo")
        require(cost(edit.transforms) <= MOST_COST, "this edit is of too many others for a page: use flowedit apply")
        with self._lock:
            photo, config = self._photo(), self._config()
        same = edit.origin == photo.sha256
        placed = edit.apply(photo) if same else edit.apply(photo, face=config.face).within(identity=config.identity)
        return self.insert(placed)

    def vary(self, prompt: str) -> list[np.ndarray]:
        """Predict several edits for a prompt; return each one's face, (256, 256, 3) uint8, for `take`."""
        text = self._check_prompt(prompt)
        require(self.face != "all", "variants must be of one face: choose one")
        draws = self.predict(self._photo(), text, DRAWS)
        with self._lock:
            self.draws = draws
        crop = draws[0].edited.crops()[0]
        near = replace(crop, matrix=crop.matrix * torch.tensor([NEAR, NEAR, 1.0]), landmarks=None)
        faces = [edit.edited.saved_crop(near, 256) for edit in draws]
        return [images.quantize(face, np.uint8) for face in faces]

    def take(self, index: int) -> int:
        """Put one of the last variants at the list's end; return its number."""
        with self._lock:
            require(0 <= index < len(self.draws), "there is no such variant any more: ask for them again")
            return self.insert(unrestricted(self.draws[index]))

    def close(self) -> None:
        """End all work and remove all files."""
        with self._lock:
            self.clear()
            self.files.close()

    def _photo(self) -> Photo:
        require(self.photo is not None, "drop a photo first")
        assert self.photo is not None  # for the type checker
        return self.photo

    def _crop(self) -> Crop:
        self._photo()
        if isinstance(self.face, int):
            return self.crops[self.face]
        return max(self.crops, key=lambda crop: crop.side_px)

    def _config(self) -> Config:
        recipe = self.recipe
        how: dict[str, Any] = {"face": self.face, "region": recipe.region, "protect": recipe.protect}
        return replace(self.settings.config, **how)

    def _check_prompt(self, prompt: str) -> str:
        text = " ".join(prompt.split())
        require(bool(text), 'type what to change, such as "a smiling face"')
        require(len(text) <= MOST_LETTERS, f"a prompt must have at most {MOST_LETTERS} letters; got {len(text)}")
        self._check_room()
        return text

    def _check_room(self) -> None:
        require(len(self.recipe.entries) < MOST_ENTRIES, f"the list holds {MOST_ENTRIES} prompts: remove one first")

    def _rows(self, row: int) -> tuple[Entry, ...]:
        require(0 <= row < len(self.recipe.entries), "this prompt is not in the list any more")
        return self.recipe.entries

    def _set(self, recipe: Recipe, control: str = "") -> None:
        self.history.change(recipe, control)
        kept = self.history.keys()
        self.edits = {key: edit for key, edit in self.edits.items() if key in kept}
