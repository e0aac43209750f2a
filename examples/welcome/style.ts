/** The style of all pages, served as /style.css. Green is npp_app, amber is npp_svc. */
export const style = `:root {
  color-scheme: light dark;
  --paper: #f6f7f4;
  --card: #ffffff;
  --ink: #1a211e;
  --soft: #5a645f;
  --line: #dbe0da;
  --app: #0a6b57;
  --svc: #a34d06;
  --fault: #b3261e;
  --mono: ui-monospace, 'Cascadia Code', 'SF Mono', Menlo, 'DejaVu Sans Mono', monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #101513;
    --card: #181f1c;
    --ink: #e6ebe7;
    --soft: #9aa69f;
    --line: #2b3530;
    --app: #5fd3b3;
    --svc: #f2a65a;
    --fault: #ff8a80;
  }
}
*, ::before, ::after { box-sizing: border-box; }
body {
  margin: 0;
  background: var(--paper);
  color: var(--ink);
  font: 1.0625rem/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif;
  -webkit-text-size-adjust: 100%;
}
header, main { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.5rem; }
main { padding-bottom: 4rem; }
code, .home, .process, .queues { font-family: var(--mono); }
code { font-size: 0.92em; overflow-wrap: anywhere; }
a { color: var(--app); text-underline-offset: 0.2em; }
a:focus-visible, button:focus-visible, input:focus-visible { outline: 3px solid var(--app); outline-offset: 2px; }
h1 { margin: 3.5rem 0 1rem; max-width: 24ch; font-size: clamp(2.1rem, 6vw, 3.5rem); line-height: 1.08; letter-spacing: -0.025em; text-wrap: balance; overflow-wrap: anywhere; }
h2 { margin: 0 0 0.5rem; color: var(--tone); font: 600 0.95rem/1.4 var(--mono); }
.lead { max-width: 44rem; margin: 0 0 2.5rem; color: var(--soft); font-size: 1.2rem; }
.note { margin: 3rem 0 0; max-width: 44rem; color: var(--soft); }
.home { color: var(--ink); font-size: 1.25rem; font-weight: 700; text-decoration: none; }
.home::before { content: ''; display: inline-block; width: 0.62em; height: 0.62em; margin-right: 0.5em; border-radius: 2px; background: linear-gradient(90deg, var(--app) 50%, var(--svc) 50%); }
.app { --tone: var(--app); }
.svc { --tone: var(--svc); }

.way { display: grid; grid-template-columns: auto 1fr auto; align-items: center; gap: clamp(0.6rem, 3vw, 1.5rem); margin-bottom: 3rem; }
.process { padding: clamp(0.7rem, 2.5vw, 1.4rem) clamp(0.7rem, 3vw, 1.6rem); border: 2px solid var(--tone); border-radius: 10px; background: var(--card); color: var(--soft); font-size: clamp(0.68rem, 2.4vw, 0.85rem); }
.process b { display: block; color: var(--tone); font-size: clamp(0.95rem, 3.6vw, 1.35rem); }
.queues { display: grid; gap: 0.45rem; color: var(--soft); font-size: clamp(0.68rem, 2.4vw, 0.8rem); text-align: center; }
.queue {
  --cells: repeating-linear-gradient(90deg, #000 0 calc(10% - 4px), transparent calc(10% - 4px) 10%);
  position: relative;
  height: 1.1rem;
  overflow: hidden;
  background: var(--line);
  -webkit-mask: var(--cells);
  mask: var(--cells);
}
.queue::after { content: ''; position: absolute; inset: 0 auto 0 0; width: 30%; background: var(--app); animation: pass 4s steps(13) infinite; }
.queue.back::after { background: var(--svc); animation-direction: reverse; animation-delay: -2s; }
@media (max-width: 34rem) {
  h1 { margin-top: 2.25rem; }
  .way { grid-template-columns: 1fr 1fr; }
  .queues { grid-row: 2; grid-column: 1 / -1; }
}
@keyframes pass { from { transform: translateX(-100%); } to { transform: translateX(333.333%); } }
@media (prefers-reduced-motion: reduce) {
  .queue::after { animation: none; left: 20%; }
  .queue.back::after { left: 50%; }
}

.sights { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 2rem 3rem; }
.sights ul { margin: 0; padding: 0; list-style: none; border-top: 2px solid var(--tone); }
.sights li { border-bottom: 1px solid var(--line); }
.sights a { display: block; padding: 0.85rem 0; color: inherit; text-decoration: none; }
.sights code { display: block; color: var(--tone); font-weight: 600; }
.sights span { color: var(--soft); }
.sights a:hover code { text-decoration: underline; text-underline-offset: 0.2em; }

form { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.4rem; max-width: 26rem; }
label { margin-top: 0.9rem; font-weight: 600; }
input { padding: 0.7rem 0.8rem; border: 1px solid var(--soft); border-radius: 8px; background: var(--card); color: inherit; font: inherit; }
input[aria-invalid] { border: 2px solid var(--fault); }
button { justify-self: start; margin-top: 1.4rem; padding: 0.7rem 1.4rem; border: 0; border-radius: 8px; background: var(--app); color: var(--paper); font: inherit; font-weight: 600; cursor: pointer; }
button:hover { filter: brightness(1.12); }
.fault { margin: 0; color: var(--fault); }
.greeting { max-width: 26rem; margin: 0 0 1rem; padding: 0.9rem 1.1rem; border-left: 4px solid var(--app); background: var(--card); overflow-wrap: anywhere; }

table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 1rem 0.4rem 0; border-bottom: 1px solid var(--line); text-align: left; }
thead th { color: var(--soft); font-size: 0.85rem; font-weight: 400; }
tr > :first-child, tr > :last-child { width: 1%; white-space: nowrap; text-align: right; }
tr > :last-child { padding-right: 0; }
.bars th, .bars td { padding-block: 0; border: 0; }
.bars i { display: block; min-width: 2px; height: 1.35rem; margin: 0.2rem 0; border-radius: 0 4px 4px 0; background: var(--svc); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: 1.25rem; margin: 2.5rem 0 0; padding-top: 1.25rem; border-top: 2px solid var(--svc); }
dt { color: var(--soft); font-size: 0.85rem; }
dd { margin: 0; font-family: var(--mono); overflow-wrap: anywhere; }
`
