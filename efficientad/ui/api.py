"""The API tab: how to call what the page does from Python, with this server's own address."""

from __future__ import annotations

import json

import gradio as gr

from efficientad.zoo import Zoo

INTRODUCTION = """Everything on this page can be called from a program (`pip install gradio_client`). Every endpoint,
its arguments and what it returns are listed under **Use via API** at the bottom of the page."""
CODE = """from gradio_client import Client, handle_file

client = Client("{address}")
print(client.predict(api_name="/categories"))

decision, *_ = client.predict(image=handle_file("photo.png"), category="{category}", api_name="/inspect")
print(decision["defective"], decision["score"], decision["threshold"])

rows, table = client.predict(
    files=[handle_file("photo.png"), handle_file("another.png")], category="{category}", api_name="/batch"
)
for row in rows:
    print(row["file"], row["defective"], row["score"])
"""
TRAINING = """
good = [handle_file(f"good/{{i:03}}.png") for i in range(10)]
model, summary, *_ = client.predict(good=good, name="widget", minutes=5, api_name="/train")
print(summary, model)  # the path of the downloaded model
"""


def snippet(address: str, category: str, training: bool) -> str:
    """A program that inspects photos on the server at `address`, and trains a model where visitors may."""
    return (CODE + (TRAINING if training else "")).format(address=address, category=category)


def layout(demo: gr.Blocks, zoo: Zoo, training: bool) -> None:
    """Place the tab in the current context; the browser puts the address it knows the server by into the snippet."""
    gr.Markdown(INTRODUCTION)
    code = gr.Code(language="python", label="Use from Python", interactive=False, elem_id="snippet")
    text = json.dumps(snippet("ADDRESS", next(iter(zoo.categories()), "pill"), training))
    demo.load(None, None, code, js=f"() => {text}.replace('ADDRESS', location.origin + location.pathname)")
