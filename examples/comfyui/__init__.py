"""Nodes for ComfyUI: put this folder, or a link to it, into ComfyUI/custom_nodes; see docs/bridges.md."""

from .nodes import ApplyEditFile, EditByPrompt

NODE_CLASS_MAPPINGS = {"FlowEditByPrompt": EditByPrompt, "FlowEditApplyFile": ApplyEditFile}
NODE_DISPLAY_NAME_MAPPINGS = {
    "FlowEditByPrompt": "Edit a face by a prompt (flowedit)",
    "FlowEditApplyFile": "Apply an edit file (flowedit)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
