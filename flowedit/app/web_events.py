"""What the page does: each event of a component, as a call of its session and what is shown of it then."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from flowedit.app import outputs, words
from flowedit.app.console import complain_of
from flowedit.app.face_map import SIDE_PX
from flowedit.app.names import plain
from flowedit.app.session import Session
from flowedit.app.web_tabs import bind_tabs, remove
from flowedit.checks import as_number
from flowedit.photo.metadata import Metadata
from flowedit.photo.photo import quantize
from flowedit.photo.png import quick_png

if TYPE_CHECKING:
    from flowedit.app.web import Page
    from flowedit.edit import Edit

Update = dict[Any, Any]
PREVIEW_PX = 192  # side of the face that is shown while it is searched on
FETCH = """(path) => {
  if (!path) return;
  const link = document.createElement("a");
  link.href = "gradio_api/file=" + path;
  link.download = path.split("/").pop();
  document.body.append(link);
  link.click();
  link.remove();
}"""
HEAVY: dict[str, Any] = {"concurrency_id": "predict", "concurrency_limit": 2, "show_progress": "minimal"}
LONG: dict[str, Any] = {"concurrency_id": "refine", "concurrency_limit": 2, "show_progress": "hidden"}
QUICK: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
LIVE: dict[str, Any] = {"trigger_mode": "always_last", "queue": False, "show_progress": "hidden"}


def bind(page: Page) -> None:
    """Give every component of the page its events; called within its blocks."""
    Binder(page).bind()


class Binder:
    """Events as calls `function(session, *fixed, *values)`, which return what is shown."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def on(
        self, event: Any, function: Callable[..., Any], inputs: Any, shown: Any, how: dict[str, Any], *fixed: Any
    ) -> Any:
        """Call a function at an event, and show what it returns."""
        count = 0 if inputs is None else len(inputs) if isinstance(inputs, list) else 1
        return event(self._taking(function, count, *fixed), inputs, shown, api_visibility="private", **how)

    def on_place(self, event: Any, function: Callable[..., Any], inputs: Any, shown: Any) -> Any:
        """Call `function(session, place, *values)` where a component is clicked on."""

        def none(chosen: gr.SelectData, request: gr.Request) -> Any:
            return self._taking(function, 0, chosen.index)(request)

        def one(value: Any, chosen: gr.SelectData, request: gr.Request) -> Any:
            return self._taking(function, 1, chosen.index)(value, request)

        return event(none if inputs is None else one, inputs, shown, api_visibility="private", **QUICK)

    def _taking(self, function: Callable[..., Any], count: int, *fixed: Any) -> Callable[..., Any]:
        """Wrap a function for gradio, which reads the number of inputs off the parameters."""

        def run(request: gr.Request, *values: Any) -> Any:
            try:
                return function(self.page.session(request), *fixed, *values)
            except Exception as error:
                return self.failed(error, values)

        def none(request: gr.Request) -> Any:
            return run(request)

        def one(value: Any, request: gr.Request) -> Any:
            return run(request, value)

        def two(value: Any, other: Any, request: gr.Request) -> Any:
            return run(request, value, other)

        def three(value: Any, other: Any, third: Any, request: gr.Request) -> Any:
            return run(request, value, other, third)

        return (none, one, two, three)[count]

    def failed(self, error: BaseException, values: Any = ()) -> Update:
        """Say an error in the status line, with users' files by their own names."""
        if not isinstance(error, (ValueError, TypeError, OSError, RuntimeError)):  # ours to mend
            complain_of(error, "page: ")
        paths = [value for value in values if isinstance(value, str) and Path(value).is_absolute()]
        return {self.page.status: words.status(plain(error, {path: Path(path).name for path in paths}), "error")}

    def bind(self) -> None:
        """Bind all."""
        page, on = self.page, self.on
        shown = page.shown()
        heavy = {**HEAVY, "show_progress_on": [page.status]}
        on(page.drop.upload, self._photo, page.drop, shown, heavy)
        for event in (page.add.click, page.prompt.submit):
            self._then_refine(on(event, self._add, page.prompt, shown, heavy))
        for button in page.examples:
            self._then_refine(on(button.click, self._add, None, shown, heavy, button.value))
        on(page.vary.click, self._vary, page.prompt, shown, heavy)
        self._then_refine(self.on_place(page.draws.select, self._take, None, shown))
        on(page.stop.click, self._stop, None, shown, QUICK)
        on(page.undo.click, self._undo, None, shown, QUICK)
        on(page.redo.click, self._redo, None, shown, QUICK)
        on(page.other.click, self._other, None, shown, QUICK)
        on(page.face.input, self._face, page.face, shown, QUICK)
        on(page.open.upload, self._open, page.open, shown, heavy)
        self.on_place(page.map.select, self._click, page.clicking, shown)
        on(page.in_turn.input, self._in_turn, page.in_turn, shown, QUICK)
        seen = [page.compare, page.status]
        for name, slider in (("strength", page.strength), ("shape", page.shape), ("color", page.color)):
            on(slider.input, self._set, slider, seen, LIVE, name)
        for name, slider in page.parts.items():
            on(slider.input, self._set_part, slider, seen, LIVE, name)
        for row, widgets in enumerate(page.rows):
            on(widgets["weight"].input, self._weigh, widgets["weight"], seen, LIVE, row)
            for name, by in (("up", -1), ("down", 1)):
                on(widgets[name].click, self._move, None, shown, QUICK, row, by)
            on(widgets["remove"].click, self._remove, None, shown, QUICK, row)
        for button, function, inputs in (
            (page.download, self._save, [page.ending, page.strip]),
            (page.download_edit, self._save_edit, None),
        ):
            fetched = on(button.click, function, inputs, [page.link, page.status], heavy)
            fetched.then(None, page.link, None, js=FETCH, show_progress="hidden")
        bind_tabs(page, self)
        page.blocks.unload(self._end)

    def _then_refine(self, event: Any) -> None:
        page = self.page
        shown = [page.compare, page.status, page.working, page.stop]
        event.then(self._refine, None, shown, api_visibility="private", **LONG)

    # Each returns what is shown.

    def _photo(self, session: Session, path: str) -> Update:
        page, name = self.page, self.page.sessions.uploaded(path).name
        try:
            session.open_photo(path, name)
        except Exception as error:
            return {page.drop: None, **self.failed(error, [path])}
        finally:
            remove(page, path)
        count = len(session.crops)
        faces: list[tuple[str, int | str]] = [("the largest", "largest")]
        faces += [(f"{index + 1} from the left", index) for index in range(count)] + [("all", "all")]
        size = f"{session.photo.width} x {session.photo.height} pixels" if session.photo is not None else ""
        said = f"{name}, {size}. Now say what should change."
        face = gr.Radio(choices=faces, value="largest", visible=count > 1)
        return page.everything(session, said) | {page.face: face, page.draws: gr.Gallery(value=None, visible=False)}

    def _add(self, session: Session, prompt: str) -> Update:
        key = session.add(prompt)
        session.waiting.append(key)
        return self._told(session, key) | {self.page.prompt: ""}

    def _told(self, session: Session, key: int) -> Update:
        """Show all, with what is to be said of a new edit."""
        edit = session.edits[key]
        return self.page.everything(session, told(edit))

    def _refine(self, request: gr.Request) -> Iterator[Update]:
        """Search on from the newest edits, with the face as it is now, until done or stopped."""
        page, session = self.page, self.page.session(request)
        while session.waiting:
            key = session.waiting.pop(0)
            steps: queue.Queue[tuple[int, bytes] | BaseException | bool] = queue.Queue()
            work = threading.Thread(target=_search, args=(session, key, steps), daemon=True)
            work.start()
            yield {page.stop: gr.Button(visible=True)}
            while isinstance(step := steps.get(), tuple):
                number, face = step
                said = "Refining. The picture can be used meanwhile."
                shown = words.progress(number, session.steps(key), face, said)
                yield {page.working: gr.HTML(value=shown, visible=True)}
            done: Update = {page.working: gr.HTML(value="", visible=False), page.stop: gr.Button(visible=False)}
            if isinstance(step, BaseException):
                yield done | self.failed(step)
            elif step is True:
                said = f"{told(session.edits[key])}. It is refined now."
                yield done | page.picture(session) | {page.status: words.status(said)}
            else:
                yield done

    def _vary(self, session: Session, prompt: str) -> Update:
        faces = session.vary(prompt)
        paths = [session.files.write("draw.png", quick_png(face, Metadata())) for face in faces]
        shown = gr.Gallery(value=[str(path) for path in paths], visible=True, selected_index=None)
        return {self.page.draws: shown, self.page.status: words.status("Click on the variant that you like.")}

    def _take(self, session: Session, index: int) -> Update:
        key = session.take(index)
        return self._told(session, key) | {self.page.prompt: ""}

    def _stop(self, session: Session) -> Update:
        session.stop()
        return {self.page.status: words.status("Stopped: the picture stays as it was predicted.")}

    def _undo(self, session: Session) -> Update:
        return self.page.everything(session, "" if session.undo() else "There is nothing to undo.")

    def _redo(self, session: Session) -> Update:
        return self.page.everything(session, "" if session.redo() else "There is nothing to do again.")

    def _other(self, session: Session) -> Update:
        session.clear()
        hidden: Update = {self.page.face: gr.Radio(visible=False), self.page.draws: gr.Gallery(visible=False)}
        return self.page.everything(session) | hidden

    def _face(self, session: Session, face: int | str) -> Update:
        session.choose_face(face)
        return self.page.marks(session)

    def _open(self, session: Session, path: str) -> Update:
        self.page.sessions.uploaded(path)
        try:
            return self._told(session, session.open_edit(path))
        finally:
            remove(self.page, path)

    def _click(self, session: Session, place: object, kind: str) -> Update:
        x, y = (as_number(each) for each in place) if isinstance(place, list) and len(place) == 2 else (None, None)
        name = None if x is None or y is None else session.part_at(x / SIDE_PX, y / SIDE_PX)
        if name is None:
            return {self.page.status: words.status("There is no part of the face at this place.")}
        session.click(name, kind == "region")
        return self.page.everything(session)

    def _in_turn(self, session: Session, value: bool) -> Update:
        session.set(in_turn=bool(value))
        return self.page.picture(session)

    def _redrawn(self, session: Session) -> Update:
        """Show the picture as a slider has it; what was said of the last edit's strength is true no more."""
        return self.page.picture(session) | {self.page.status: words.status("")}

    def _set(self, session: Session, name: str, value: float) -> Update:
        session.set(name, **{name: float(value)})
        return self._redrawn(session)

    def _set_part(self, session: Session, name: str, value: float) -> Update:
        session.set_part(name, value)
        return self._redrawn(session)

    def _weigh(self, session: Session, row: int, value: float) -> Update:
        session.weigh(row, value)
        return self._redrawn(session)

    def _move(self, session: Session, row: int, by: int) -> Update:
        session.move(row, by)
        return self.page.everything(session)

    def _remove(self, session: Session, row: int) -> Update:
        session.remove(row)
        return self.page.everything(session)

    def _save(self, session: Session, ending: str, strip: bool) -> Update:
        ending = words.ENDINGS.get(ending, ".png")
        return self._fetch(lambda: outputs.save_picture(session, ending, bool(strip)))

    def _save_edit(self, session: Session) -> Update:
        return self._fetch(lambda: outputs.save_edit(session))

    def _fetch(self, save: Callable[[], Path]) -> Update:
        """Save a file for the browser to fetch; the link is empty where that fails."""
        try:
            path = save()
        except Exception as error:
            return {self.page.link: "", **self.failed(error)}
        return {self.page.link: str(path), self.page.status: words.status(f"Saved: {path.name}")}

    def _end(self, request: gr.Request) -> None:
        self.page.sessions.close(str(request.session_hash))


def told(edit: Edit) -> str:
    """Say what an edit is, at which strength and why, and what was warned of."""
    name = " + ".join(edit.prompts) or "this edit"
    return ". ".join([f"“{name}” at {100 * edit.strength:.0f} % ({edit.strength_reason})", *edit.messages])


def _search(session: Session, key: int, steps: queue.Queue[Any]) -> None:
    """Refine an edit, and put every step's number and face into a queue; then whether it came to an end, or why not."""

    def show(step: Any) -> None:
        image = step.preview(PREVIEW_PX)
        steps.put((step.number + 1, quick_png(quantize(image.clamp(0, 1), np.uint8), Metadata())))

    try:
        steps.put(session.refine(key, show))
    except Exception as error:
        steps.put(error)
