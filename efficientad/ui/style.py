"""How the demo looks: a theme without anything fetched from elsewhere, and the style sheet."""

from __future__ import annotations

import gradio as gr

CSS = """
.gradio-container { max-width: min(1320px, 100%) !important; margin: 0 auto !important; }
#introduction h1 { margin: 0 0 .15em; }
#introduction p { color: var(--body-text-color-subdued); }
#untrained { border-left: 4px solid var(--color-accent); padding: .6em 1em;
             background: var(--block-background-fill); }

/* rows of thumbnails that scroll sideways where they must */
.strip { border-width: 0 !important; background: none !important; }
.strip .grid-wrap { height: auto; min-height: 0; max-height: none; padding: 0; overflow-x: auto; }
.strip .grid-container { padding: 2px; gap: 8px; height: auto; }
#tiles .grid-container { grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }
#examples .grid-container, #tests .grid-container { grid-template-columns: repeat(4, minmax(64px, 1fr)); }
.strip .caption-label { inset: auto 0 0 0; max-width: none; padding: 1px 4px; border: none;
                        border-radius: 0; font-size: 11px; text-align: center;
                        opacity: 1; background: var(--block-background-fill); }
.wrong .grid-container { grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); }
.gifs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 16px; }
.gifs figure { margin: 0; }
.gifs img { width: 100%; border: 1px solid var(--border-color-primary); border-radius: var(--radius-md); }
.gifs figcaption { color: var(--body-text-color-subdued); }
#tests .grid-wrap { max-height: 320px; overflow-y: auto; }

/* gradio rewrites this sheet, and drops a shorthand with a variable if one of its parts is set again */
#verdict .html-container, .pictures .html-container { padding: 0; }
#verdict .verdict { --line: var(--border-color-primary); --kind: var(--line); padding: .9em 1.2em;
                    border-style: solid; border-width: 1px 1px 1px 6px;
                    border-color: var(--line) var(--line) var(--line) var(--kind);
                    border-radius: var(--radius-lg); background: var(--block-background-fill); }
#verdict .defective { --kind: #b4380a; }
#verdict .good { --kind: #0f766e; }
.dark #verdict .defective { --kind: #fb923c; }
.dark #verdict .good { --kind: #2dd4bf; }
#verdict .idle { border-style: dashed; border-width: 1px; color: var(--body-text-color-subdued); }
#verdict p { margin: 0; }
#verdict .doubt { margin-bottom: .6em; padding: .6em 1em; border-left: 6px solid #b45309;
                  border-radius: var(--radius-lg); background: #fef3c7; color: #451a03; }
#verdict .word, #verdict .word span { font-size: 26px; font-weight: 700; line-height: 1.25;
                                      color: var(--kind); }
#verdict dl { display: flex; flex-wrap: wrap; gap: .5em 2.5em; margin: .7em 0 0; }
#verdict dt { font-size: .85em; font-weight: 400; color: var(--body-text-color-subdued); }
#verdict dd { margin: 0; font-size: 1.15em; font-weight: 700; font-variant-numeric: tabular-nums; }

/* nothing to see before the first verdict */
.gradio-container:has(#verdict .idle) .pictures { display: none; }
.pictures label[data-testid="block-label"] span { display: none; }

.legend { padding-top: 6px; }
.legend .bar { position: relative; height: 12px; border: 1px solid var(--border-color-primary);
               border-radius: 3px; }
.legend .bar b { position: absolute; top: 0; bottom: 0; border-left: 2px solid #0ff; }
.legend .bar i { position: absolute; top: -8px; border-style: solid; border-width: 6px 6px 0;
                 border-color: var(--body-text-color) transparent transparent;
                 transform: translateX(-50%); }
.legend .ticks { display: flex; justify-content: space-between; margin-top: .25em; }
.legend .ticks span { flex: 1; font-size: 13px; color: var(--body-text-color-subdued); }
.legend .ticks span:nth-child(2) { text-align: center; }
.legend .ticks span:last-child { text-align: right; }
"""


def theme() -> gr.themes.Base:
    """Gradio's default with calmer colours and more contrast. The fonts come with gradio."""
    colours = gr.themes.Default(
        primary_hue="teal",
        neutral_hue="slate",
        # 700, not the default 600: of that weight gradio 6 ships a fragment without most letters
        font=[gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
    )
    return colours.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )
