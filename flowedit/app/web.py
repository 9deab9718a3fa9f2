"""The page of `flowedit app`: its components, and what they show of a session. Imports gradio."""

from __future__ import annotations

from typing import Any

import gradio as gr

from flowedit.app import words
from flowedit.app.paths import EDIT_FILE
from flowedit.app.recipe import MOST_SHARE
from flowedit.app.session import MOST_ENTRIES, MOST_LETTERS, Session
from flowedit.app.sessions import Sessions
from flowedit.app.web_events import bind
from flowedit.app.web_tabs import Tabs
from flowedit.face.regions import REGIONS
from flowedit.photo.codec import readable_suffixes

EXAMPLES = ("a smiling face", "a surprised face", "big eyes", "a slim jaw", "red lipstick")
MOST_STRENGTH = 1.5
CLEANING = (600, 3600)  # seconds: how often, and how old files are, that no event has read
TITLE = """<div class="title"><h1>flowedit</h1>
<p>Edit a portrait by a sentence. Nothing leaves this computer, and nothing is kept when the page is closed.</p>
</div>"""
Update = dict[Any, Any]


def theme() -> gr.themes.Base:
    """Return the page's colors and fonts, which are the machine's own."""
    plain = {"block_shadow": "none", "block_border_width": "1px", "button_secondary_background_fill": "transparent"}
    edges = {"button_secondary_border_color": "*border_color_primary", "button_border_width": "1px"}
    base = gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="gray",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return base.set(**plain, **edges)


class Page:
    """The components, and what each does."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        with gr.Blocks(
            title="flowedit", analytics_enabled=False, fill_width=True, delete_cache=CLEANING
        ) as self.blocks:
            gr.HTML(TITLE, elem_id="title")
            with gr.Tabs(elem_id="tabs"):
                with gr.Tab("Edit", id="edit"), gr.Row(elem_id="work"):
                    with gr.Column(scale=3, min_width=320):
                        self._build_picture()
                    with gr.Column(scale=2, min_width=320):
                        self._build_controls()
                self.tabs = Tabs()
            self.link = gr.Textbox(visible="hidden", elem_id="link")
        with self.blocks:
            bind(self)

    # What is there

    def _build_picture(self) -> None:
        kinds = sorted(readable_suffixes())
        self.drop = gr.File(label="Drop a portrait here", file_types=kinds, height=440, elem_id="drop")
        self.compare = gr.ImageSlider(
            label="Drag the line to see the photo before",
            format="png",
            visible=False,
            elem_id="compare",
            max_height=640,
            slider_position=8,
            buttons=["fullscreen"],
            interactive=False,
        )
        with gr.Row(visible=False, elem_id="undoing") as self.undoing:
            self.undo = gr.Button("↶ Undo", elem_id="undo", min_width=80)
            self.redo = gr.Button("↷ Redo", elem_id="redo", min_width=80)
            self.other = gr.Button("New photo", elem_id="other", min_width=80)
            self.download = gr.Button("⤓ Download", variant="primary", elem_id="download", min_width=120, scale=2)
        self.face = gr.Radio(label="Whose face", choices=[], visible=False, elem_id="face")
        self.draws = gr.Gallery(
            label="Variants: click one to add it",
            format="png",
            columns=4,
            height=200,
            visible=False,
            elem_id="draws",
            allow_preview=False,
            buttons=[],
            interactive=False,
        )

    def _build_controls(self) -> None:
        self.prompt = gr.Textbox(
            label="What should change?",
            placeholder="a smiling face",
            max_lines=2,
            max_length=MOST_LETTERS,
            elem_id="prompt",
        )
        with gr.Row(elem_id="examples"):
            self.examples = [gr.Button(each, size="sm", variant="secondary") for each in EXAMPLES]
        with gr.Row():
            self.add = gr.Button("Edit", variant="primary", elem_id="add")
            self.vary = gr.Button("Four variants", elem_id="vary")
        self.status = gr.HTML(elem_id="status")
        self.working = gr.HTML(elem_id="working", visible=False)
        self.stop = gr.Button("Stop refining", size="sm", visible=False, elem_id="stop")
        with gr.Column(visible=False, elem_id="list") as self.list:
            self.rows = [self._build_row(row) for row in range(MOST_ENTRIES)]
            self.in_turn = gr.Checkbox(label="One after another, from the top", visible=False, elem_id="in_turn")
        with gr.Group(visible=False, elem_id="sliders") as self.sliders:
            self.strength = gr.Slider(0, MOST_STRENGTH, 1, step=0.01, label="Strength", elem_id="strength")
            self.shape = gr.Slider(0, MOST_SHARE, 1, step=0.01, label="Movement", elem_id="shape")
            self.color = gr.Slider(0, MOST_SHARE, 1, step=0.01, label="Color", elem_id="color")
        with gr.Accordion("Parts of the face", open=False, visible=False, elem_id="parts") as self.accordion:
            self.clicking = gr.Radio(
                label="A click on a part",
                choices=[("keeps it as it is", "protect"), ("edits it alone", "region")],
                value="protect",
                elem_id="clicking",
            )
            self.map = gr.Image(
                show_label=False, interactive=False, format="png", buttons=[], height=260, elem_id="map"
            )
            self.kept = gr.HTML(elem_id="kept")
            self.parts = {
                name: gr.Slider(0, MOST_SHARE, 1, step=0.01, label=name.capitalize(), elem_id=f"part_{name}")
                for name in REGIONS
            }
        with gr.Accordion("Files", open=False, visible=False, elem_id="saving") as self.saving:
            self.ending = gr.Dropdown(list(words.ENDINGS), value="PNG", label="Download as", elem_id="ending")
            self.strip = gr.Checkbox(
                label="Leave out where the photo was taken, and the camera's serial numbers", elem_id="strip"
            )
            with gr.Row():
                self.download_edit = gr.Button("Download the edit alone", size="sm", elem_id="download_edit")
                self.open = gr.UploadButton("Open an edit file", file_types=[EDIT_FILE], size="sm", elem_id="open")

    def _build_row(self, row: int) -> dict[str, Any]:
        with gr.Row(visible=False, elem_classes=["entry"], elem_id=f"row_{row}") as line:
            weight = gr.Slider(0, MOST_SHARE, 1, step=0.01, label="", scale=9, min_width=160, elem_id=f"weight_{row}")
            up = gr.Button("↑", min_width=36, scale=0, elem_id=f"up_{row}")
            down = gr.Button("↓", min_width=36, scale=0, elem_id=f"down_{row}")
            remove = gr.Button("✕", min_width=36, scale=0, elem_id=f"remove_{row}")
        return {"line": line, "weight": weight, "up": up, "down": down, "remove": remove}

    # What it shows

    def session(self, request: gr.Request) -> Session:
        """Return the session of who asks."""
        return self.sessions.get(str(request.session_hash))

    def picture(self, session: Session) -> Update:
        """Show the photo and what is done to it."""
        before, after = map(str, session.pictures())
        return {self.compare: gr.ImageSlider(value=(before, after), visible=True)}

    def everything(self, session: Session, said: str = "") -> Update:
        """Show all of a session, with a word in the status line."""
        recipe, lines, there = session.recipe, session.lines(), session.photo is not None
        update: Update = {
            self.drop: gr.File(value=None, visible=not there),
            self.status: words.status(said),
            self.list: gr.Column(visible=bool(lines)),
            self.in_turn: gr.Checkbox(value=recipe.in_turn, visible=len(lines) > 1),
            self.strength: gr.Slider(value=recipe.strength),
            self.shape: gr.Slider(value=recipe.shape),
            self.color: gr.Slider(value=recipe.color),
            **{slider: gr.Slider(value=recipe.parts.get(name, 1.0)) for name, slider in self.parts.items()},
        }
        for row, widgets in enumerate(self.rows):
            label, weight = lines[row] if row < len(lines) else ("", 1.0)
            update[widgets["line"]] = gr.Row(visible=row < len(lines))
            update[widgets["weight"]] = gr.Slider(value=weight, label=label)
        for block in (self.undoing, self.sliders, self.accordion, self.saving):
            update[block] = type(block)(visible=there)
        if there:
            update |= self.picture(session) | self.marks(session)
        else:
            update[self.compare] = gr.ImageSlider(value=None, visible=False)
        return update

    def marks(self, session: Session) -> Update:
        """Show the parts of the face that are kept or worked on."""
        recipe = session.recipe
        kept = f"Kept as they are: {', '.join(recipe.protect)}. " if recipe.protect else ""
        only = f"Edited alone: {recipe.region}." if recipe.region else ""
        return {self.map: str(session.face_picture()), self.kept: words.status(kept + only)}

    def shown(self) -> list[Any]:
        """Return the components that an event of the first tab may change."""
        rows = [widgets[name] for widgets in self.rows for name in ("line", "weight")]
        return [
            *(self.drop, self.compare, self.undoing, self.face, self.draws, self.prompt, self.status, self.working),
            *(self.stop, self.list, self.in_turn, self.sliders, self.strength, self.shape, self.color),
            *(self.accordion, self.map, self.kept, *self.parts.values(), self.saving, *rows),
        ]
