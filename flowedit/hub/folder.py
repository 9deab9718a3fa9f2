"""What a predictor and a guide share as folders of the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from huggingface_hub import ModelHubMixin, snapshot_download

from flowedit.checks import require

CARD = """---
{{ card_data }}
---

# A {{ kind }} of flowedit

{{ about }}

```python
{{ use }}
```
"""


class HubFolder(ModelHubMixin):
    """What predictors and guides share as folders of the hub; see `HubPredictor` and `HubGuide`.

    Attributes:
        files: patterns of the files of a repository that are fetched.
    """

    files: ClassVar[tuple[str, ...]]

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **settings: Any,
    ) -> Any:
        """Open a folder; fetch a repository's files where there is no such folder."""
        require(not settings, f"from_pretrained must be given no other settings; got {', '.join(settings)}", TypeError)
        folder = model_id
        if not os.path.isdir(folder):
            folder = snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=list(cls.files),
            )
        return cls._open(Path(folder))

    @classmethod
    def _open(cls, folder: Path) -> Any:
        raise NotImplementedError
