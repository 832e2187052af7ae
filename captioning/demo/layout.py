"""What tabs about one photo or clip have in common, in Gradio: what is asked on the left, the answer on the right.

On a telephone the answer stands between what was asked and the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio

from captioning.demo.answers import hint, refusal
from captioning.reports.frame_strip import STYLE as FRAMES_STYLE

NARROW = 768  # pixels; on a narrower screen everything stands in one column

STYLE = (
    FRAMES_STYLE
    + """
footer { display: none !important; }
.refusal { padding: .7rem 1rem; border-left: 4px solid #c0392b; background: #c0392b1a; border-radius: 4px; margin: 0; }
.answer .hint, .hint { opacity: .7; font-size: .9rem; margin: .2rem 0 0; }
.samples img { object-fit: cover; }
.photo-tab { display: grid !important; gap: 1rem; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr);
  grid-template-areas: "asked answered" "samples answered"; grid-template-rows: auto 1fr; }
.photo-tab > .asked { grid-area: asked; } .photo-tab > .answered { grid-area: answered; }
.photo-tab > .samples { grid-area: samples; } .photo-tab > * { min-width: 0 !important; width: 100%; }
"""
    + f"""
@media (max-width: {NARROW}px) {{ .photo-tab {{ grid-template-columns: minmax(0, 1fr); 
  grid-template-areas: "asked" "answered" "samples"; grid-template-rows: auto; }} }}
"""
)


def photo_tab(
    verb: str,
    models: Mapping[str, Any],
    samples: Sequence[Path],
    respond: Callable[..., str],
    *,
    button: str,
    controls: Callable[[], list[Any]] = list,
    on_upload: bool = True,
) -> None:
    """An upload, the tab's own controls, a button, samples and the answer.

    `controls()` makes the components that stand between upload and button, and returns them;
    `respond(model, upload, *their values)` -> HTML (`captioning.demo.answers.answer_to`). A photo is answered as soon
    as it is there unless `on_upload` is off, as where a question has to be asked first. Elements are called
    VERB-upload, VERB-button, VERB-samples and VERB-result; scripts ask the page at VERB. Where several models can do
    it, a further control chooses one, the last of what scripts send.
    """

    def answer(upload: str | None, *values: Any) -> str:
        *values, name = values if len(models) > 1 else (*values, next(iter(models)))
        if not isinstance(name, str) or name not in models:
            return refusal(f"There is no such model: choose {', '.join(models)}.")
        return respond(models[name], upload, *values) + hint(f"Answered by the model {name}.")

    def answer_to_upload(upload: str | None, *values: Any) -> str:
        return answer(upload, *values) if upload else ""  # it was taken away

    def chosen(event: gradio.SelectData) -> str:
        return str(samples[event.index])

    with gradio.Row(elem_classes="photo-tab"):
        with gradio.Column(elem_classes="asked"):
            upload = gradio.File(label="A photo or a clip", type="filepath", elem_id=f"{verb}-upload", height=150)
            own = controls()
            choice = model_choice(verb, models)
            pressed = gradio.Button(button, variant="primary", elem_id=f"{verb}-button")
        with gradio.Column(elem_classes="answered"):
            result = gradio.HTML(elem_id=f"{verb}-result", apply_default_css=False)
        with gradio.Column(elem_classes="samples"):
            gallery = gradio.Gallery(
                [str(path) for path in samples], label="Samples", columns=4, height=170, allow_preview=False,
                interactive=False, elem_id=f"{verb}-samples", buttons=[],
            )  # fmt: skip
    inputs = [upload, *own, *choice]
    shared: dict[str, Any] = {"concurrency_id": "model", "show_progress": "minimal"}
    if on_upload:
        upload.change(answer_to_upload, inputs, result, api_name=False, **shared)
    for component in own:
        if isinstance(component, gradio.Textbox):
            component.submit(answer, inputs, result, api_name=False, **shared)
    pressed.click(answer, inputs, result, api_name=verb, **shared)
    gallery.select(chosen, None, upload, api_name=False, queue=False)


def model_choice(verb: str, models: Mapping[str, Any]) -> list[Any]:
    """Which model answers: a control where there are several, else a line that names the one."""
    if len(models) > 1:
        return [gradio.Dropdown(list(models), value=next(iter(models)), label="Model", elem_id=f"{verb}-model")]
    for name, model in models.items():
        kind = type(model.encoder).__name__
        gradio.HTML(
            f'<p class="hint">Model: <b>{escape(name)}</b>, sees by {escape(kind)}</p>', elem_id=f"{verb}-model"
        )
    return []
