"""The look of the report page and its one gesture: pointing at a word shows where the model looked."""

STYLE = """
:root { color-scheme: light dark; --paper: #f6f6f3; --card: #fff; --ink: #1d2126; --soft: #5c656f; --rule: #dfe1e3;
  --accent: #a8400b; --line-1: #c2560c; --line-2: #1f6fb2; --line-3: #2c8a57; --line-4: #8a4fb0; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --card: #1d2125; --ink: #e8eaec; --soft: #a0a9b2; --rule: #343a40;
    --accent: #ffac70; --line-1: #f59147; --line-2: #63b0ee; --line-3: #64c68f; --line-4: #c594e6; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 3vw, 2.5rem) 4rem; max-width: 84rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: clamp(1.4rem, 4vw, 2rem); line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; }
h3 { font-size: .8rem; font-weight: 600; color: var(--soft); margin: 0 0 .5rem; overflow-wrap: anywhere; }
.lead, .hint { color: var(--soft); margin: 0; }
.hint { font-size: .9rem; margin-bottom: .8rem; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.card, .chart, .scores { background: var(--card); border: 1px solid var(--rule); border-radius: .7rem; padding: .9rem; }
.card { min-width: 0; }
.photo { position: relative; width: fit-content; max-width: 100%; margin: 0 auto .8rem; border-radius: .4rem;
  overflow: hidden; line-height: 0; }
.photo img { display: block; max-width: 100%; max-height: 20rem; min-width: min(100%, 14rem); }
.photo .heat { position: absolute; inset: 0; width: 100%; height: 100%; max-height: none; min-width: 0; }
dl { margin: 0 0 .7rem; display: grid; grid-template-columns: max-content 1fr; gap: .25rem .7rem; }
dt { color: var(--soft); font-size: .8rem; padding-top: .2rem; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.words button { font: inherit; font-weight: 500; color: inherit; background: none; cursor: pointer;
  border: 1px solid var(--rule); border-radius: .4rem; padding: .15rem .45rem; margin: 0 .25rem .3rem 0;
  min-height: 2rem; max-width: 100%; overflow-wrap: anywhere; }
.words button[aria-pressed=true] { border-color: var(--accent); color: var(--accent); }
.words button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.strip { display: grid; gap: .5rem; margin: .3rem 0 .8rem;
  grid-template-columns: repeat(auto-fill, minmax(4.4rem, 1fr)); }
.strip figure { margin: 0; min-width: 0; text-align: center; }
.strip .tile { background: var(--shot) center / 100% 100%; border-radius: .3rem; overflow: hidden; line-height: 0;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.strip img { width: 100%; height: 100%; display: block; }
.strip figcaption { font-size: .8rem; line-height: 1.3; margin-top: .2rem; overflow-wrap: anywhere; }
.references { margin: 0; padding-left: 1.1rem; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.references-title { font-size: .8rem; color: var(--soft); margin: 0; }
.scores { overflow-x: auto; padding: .3rem .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .45rem .7rem; white-space: nowrap; border-top: 1px solid var(--rule); }
thead th { border-top: 0; font-size: .85rem; color: var(--soft); }
th:first-child { text-align: left; padding-left: 0; }
@media (max-width: 40rem) { th, td { padding: .4rem .35rem; } table { font-size: .85rem; } }
td strong { color: var(--accent); }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.chart svg { display: block; width: 100%; height: auto; max-width: 44rem; margin: 0 auto; }
svg text { fill: var(--ink); font-size: 13px; }
svg .chart-title { font-weight: 600; font-size: 14px; }
svg .tick { fill: var(--soft); }
svg .rule { stroke: var(--rule); }
"""

# For charts in a file of their own, without the page.
CHART_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2126; } .chart-title { font-weight: 600; }
.tick { fill: #5c656f; } .rule { stroke: #dfe1e3; }
"""

# Pointing previews a word; a tap or a press of Enter keeps it until the next one.
SCRIPT = """
for (const card of document.querySelectorAll(".card")) {
  const buttons = [...card.querySelectorAll(".words button")];
  const tiles = [...card.querySelectorAll(".strip img")];
  const heat = card.querySelector(".photo .heat");
  let kept = -1;
  const show = (i) => {
    heat.hidden = i < 0;
    if (i >= 0) { heat.src = tiles[i].src; heat.alt = tiles[i].alt; }
  };
  buttons.forEach((button, i) => {
    button.onpointerenter = (event) => { if (event.pointerType === "mouse") show(i); };
    button.onpointerleave = () => show(kept);
    button.onfocus = () => { if (button.matches(":focus-visible")) show(i); };
    button.onblur = () => show(kept);
    button.onclick = () => {
      kept = kept === i ? -1 : i;
      buttons.forEach((other, j) => other.setAttribute("aria-pressed", j === kept));
      show(kept);
    };
  });
}
"""
