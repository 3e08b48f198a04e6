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


def snippet(address: str, category: str) -> str:
    """A program that inspects photos on the server at `address`."""
    return CODE.format(address=address, category=category)


def layout(demo: gr.Blocks, zoo: Zoo) -> None:
    """Place the tab in the current context; the browser puts the address it knows the server by into the snippet."""
    gr.Markdown(INTRODUCTION)
    code = gr.Code(language="python", label="Use from Python", interactive=False, elem_id="snippet")
    text = json.dumps(snippet("ADDRESS", next(iter(zoo.categories()), "pill")))
    demo.load(None, None, code, js=f"() => {text}.replace('ADDRESS', location.origin + location.pathname)")
