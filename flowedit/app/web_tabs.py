"""The page's other tabs: why, another photo, a folder of photos, a clip. Imports gradio."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from flowedit.app import outputs, several, words
from flowedit.app.names import plain
from flowedit.app.session import Session
from flowedit.photo.codec import readable_suffixes
from flowedit.video.animations import ANIMATIONS
from flowedit.video.encode import VIDEOS

if TYPE_CHECKING:
    from flowedit.app.web import Page
    from flowedit.app.web_events import Binder

Update = dict[Any, Any]


class Tabs:
    """The tabs' components; made within the page's `gr.Tabs`."""

    def __init__(self) -> None:
        pictures = sorted(readable_suffixes())
        with gr.Tab("Why", id="why") as self.why:
            self.facts = gr.HTML(elem_id="facts")
            self.plot = gr.Image(
                show_label=False,
                interactive=False,
                format="png",
                visible=False,
                buttons=["download", "fullscreen"],  # and none that shares
                elem_id="plot",
            )
        with gr.Tab("Another photo", id="transfer"):
            gr.HTML("<p>Puts what was done, as the sliders are now, on another face, or less.</p>")
            self.transfer_file = gr.File(label="Drop another portrait here", file_types=pictures, elem_id="transfer")
            self.transfer_status = gr.HTML(elem_id="transfer_status")
            self.transferred = gr.ImageSlider(
                format="png", visible=False, max_height=680, interactive=False, buttons=["fullscreen"],
                label="Before and after: drag the line",
            )  # fmt: skip
            self.transfer_out = gr.File(label="The edited photo", visible=False, interactive=False)
        with gr.Tab("Folder", id="folder"):
            gr.HTML("<p>Edits many photos into a zip file. What goes wrong with one stops none of the others.</p>")
            self.folder_files = gr.File(
                label="Drop photos here", file_count="multiple", file_types=pictures, elem_id="folder"
            )
            self.folder_how = gr.Radio(
                label="How", value="anew", elem_id="folder_how",
                choices=[("find the list's prompts anew in each", "anew"), ("carry this edit to each", "carry")],
            )  # fmt: skip
            with gr.Row():
                self.folder_start = gr.Button("Edit all", variant="primary", elem_id="folder_start")
                self.folder_stop = gr.Button("Stop", elem_id="folder_stop")
            self.folder_table = gr.HTML(elem_id="folder_table")
            self.folder_out = gr.File(label="The edited photos", visible=False, interactive=False, elem_id="folder_out")
        with gr.Tab("Video", id="video"):
            gr.HTML(
                "<p>Carries what was done, as the sliders are now, through a clip, as soon as it is dropped. It takes "
                "about as long as the clip, or a few times so. Hair, make-up and lines stay as they are in a clip.</p>"
            )
            self.video_file = gr.File(
                label="Drop a clip here", file_types=sorted({*VIDEOS, *ANIMATIONS}), elem_id="video"
            )
            self.video_status = gr.HTML(elem_id="video_status")
            self.video_out = gr.File(label="The edited clip", visible=False, interactive=False, elem_id="video_out")


def bind_tabs(page: Page, binder: Binder) -> None:
    """Give the tabs their events."""
    tabs = page.tabs
    heavy: dict[str, Any] = {"concurrency_id": "predict", "show_progress": "minimal"}
    how_saved = [page.ending, page.strip]
    long: dict[str, Any] = {"concurrency_id": "long", "concurrency_limit": 1, "show_progress": "hidden"}

    def explain(session: Session) -> Update:
        try:
            facts, plot = outputs.explain(session)
        except Exception as error:
            return {tabs.facts: words.status(plain(error, {})), tabs.plot: gr.Image(value=None, visible=False)}
        return {tabs.facts: words.explanation(facts), tabs.plot: gr.Image(value=str(plot), visible=True)}

    def transfer(session: Session, path: str, ending: str, strip: bool) -> Update:
        hidden: Update = {tabs.transfer_file: None, tabs.transferred: gr.ImageSlider(visible=False)}
        try:
            page.sessions.uploaded(path)
            before, after, saved = outputs.transfer(
                session, path, Path(path).name, words.ENDINGS.get(ending, ".png"), bool(strip)
            )
        except Exception as error:
            said = words.status(plain(error, {path: Path(path).name}), "error")
            return hidden | {tabs.transfer_out: gr.File(visible=False), tabs.transfer_status: said}
        finally:
            remove(page, path)
        return {
            tabs.transfer_file: None,
            tabs.transferred: gr.ImageSlider(value=(str(before), str(after)), visible=True),
            tabs.transfer_out: gr.File(value=str(saved), visible=True),
            tabs.transfer_status: "",
        }

    def folder(paths: list[str] | None, how: str, ending: str, strip: bool, request: gr.Request) -> Iterator[Update]:
        session = page.session(request)
        stop = session.folder_stop = threading.Event()
        rows: list[tuple[str, float | None, str]] = []
        out = None
        try:
            files = [(page.sessions.uploaded(path), Path(path).name) for path in paths or []]
            saved = words.ENDINGS.get(ending, ".png"), bool(strip)
            for row, archive in several.edit_photos(session, files, how == "anew", stop, *saved):
                out = archive
                rows.append((row.name, row.strength, row.error))
                yield {tabs.folder_table: words.table(rows, len(files))}
        except Exception as error:
            yield {tabs.folder_table: words.status(plain(error, {}), "error")}
        finally:
            for path in paths or []:
                remove(page, path)
        shown = gr.File(visible=False) if out is None else gr.File(value=str(out), visible=True)
        yield {tabs.folder_files: None, tabs.folder_out: shown}

    def stop_folder(session: Session) -> None:
        session.folder_stop.set()

    def begin(session: Session) -> Update:
        return {tabs.video_status: words.status("The clip is being edited.", "busy")}

    def clip(session: Session, path: str, strip: bool) -> Update:
        name = Path(path).name
        try:
            page.sessions.uploaded(path)
            result, messages = several.edit_clip(session, Path(path), name, bool(strip))
        except Exception as error:
            said = words.status(plain(error, {path: name}), "error")
            return {tabs.video_file: None, tabs.video_out: gr.File(visible=False), tabs.video_status: said}
        finally:
            remove(page, path)
        frames = f"{result.edited} of {result.frames} frames edited, {result.seconds:.0f} s"
        said = words.status(". ".join([frames, *messages]))
        return {
            tabs.video_file: None,
            tabs.video_out: gr.File(value=str(result.path), visible=True),
            tabs.video_status: said,
        }

    binder.on(tabs.why.select, explain, None, [tabs.facts, tabs.plot], heavy)
    shown = [tabs.transfer_file, tabs.transferred, tabs.transfer_out, tabs.transfer_status]
    binder.on(tabs.transfer_file.upload, transfer, [tabs.transfer_file, *how_saved], shown, heavy)
    tabs.folder_start.click(
        folder,
        [tabs.folder_files, tabs.folder_how, *how_saved],
        [tabs.folder_files, tabs.folder_table, tabs.folder_out],
        api_visibility="private",
        **long,
    )
    binder.on(tabs.folder_stop.click, stop_folder, None, None, {"queue": False, "show_progress": "hidden"})
    started = binder.on(tabs.video_file.upload, begin, None, tabs.video_status, {"show_progress": "hidden"})
    shown = [tabs.video_file, tabs.video_out, tabs.video_status]
    binder.on(started.then, clip, [tabs.video_file, page.strip], shown, long)


def remove(page: Page, path: str) -> None:
    """Remove an upload, which has been read; any other path is let be."""
    with contextlib.suppress(ValueError):
        page.sessions.uploaded(path).unlink(missing_ok=True)
