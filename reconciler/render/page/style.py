"""The style of the page: two palettes, one column for a phone, open details on paper.

Rules this module keeps:

1. Colour never says anything alone: each mark has a word or a letter with it, and no
   mark is a character that a font may lack.
2. Text has a contrast of at least 4.5 to 1 on its ground, in both palettes; the test
   with axe-core measures it.
3. Nothing is loaded from anywhere: no font, no picture, no script.
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f8;--card:#fff;--fg:#1b2026;--dim:#535d68;
--line:#d9dee4;--faint:#eef1f4;--link:#0a58a8;--ok:#0d5f2c;--ok-bg:#dcf3e3;--busy:#0b4f6c;
--busy-bg:#dbeef8;--warn:#6f4300;--warn-bg:#fbeccb;--bad:#98101c;--bad-bg:#fce1e1;
--person:#612083;--person-bg:#f1e3f9;--now:#c2410c;--bar:#2f7d4f;--plan:#b9dcc6;--old:#b7791f;
--old-over:#b3261e;--kept:#5b7fb8}
@media(prefers-color-scheme:dark){:root{--bg:#0e1317;--card:#161c22;--fg:#e4e8ec;--dim:#a3afba;
--line:#2d3640;--faint:#1e252c;--link:#85bfff;--ok:#86e0a3;--ok-bg:#12321f;--busy:#8ed4f2;
--busy-bg:#10303f;--warn:#f4c46a;--warn-bg:#3b2a0a;--bad:#ff9d9d;--bad-bg:#451a1d;
--person:#ddb0f5;--person-bg:#351a45;--now:#fb923c;--bar:#4fae77;--plan:#234a34;--old:#d19a3e;
--old-over:#ff7b72;--kept:#7ea2d8}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--bg);color:var(--fg);
font:.9375rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
header,nav,main,footer{max-width:78rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.5rem}
h1{font-size:1.5rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.2rem;margin:0 0 .75rem}
h3{font-size:1rem;margin:1.25rem 0 .5rem}
h4{font-size:.9rem;margin:0 0 .2rem}
p{margin:.4rem 0}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:2px}
code{font:.86em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
overflow-wrap:anywhere}
.place{overflow-wrap:anywhere}
.dim{color:var(--dim)}
.vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.nb{white-space:nowrap}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:1.1rem 1.25rem 1.25rem;margin:0 0 1.25rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;padding:0;margin:1rem 0}
.verdict{border-radius:10px;padding:.8rem 1.1rem;
margin:1rem 0 .75rem;font-size:1.1rem;font-weight:600;border:1px solid currentColor}
.counts{list-style:none;display:flex;flex-wrap:wrap;gap:.4rem;padding:0;margin:.5rem 0 0}
.chip{display:inline-block;border-radius:999px;padding:.05rem .6rem;font-size:.86rem;
font-weight:600;white-space:nowrap;border:1px solid transparent}
.ok{color:var(--ok);background:var(--ok-bg)}.busy{color:var(--busy);background:var(--busy-bg)}
.warn{color:var(--warn);background:var(--warn-bg)}.bad{color:var(--bad);background:var(--bad-bg)}
.person{color:var(--person);background:var(--person-bg)}
.tag{display:inline-block;border:1px solid var(--line);border-radius:4px;padding:0 .35rem;
font-size:.78rem;color:var(--dim);white-space:nowrap}
.strong{border-color:var(--bad);color:var(--bad);font-weight:600}
ul.needs{list-style:none;padding:0;margin:0}
ul.needs>li{border-left:4px solid var(--line);padding:.3rem 0 .3rem .8rem;margin:0 0 .6rem}
ul.needs>li.d{border-color:var(--person)}ul.needs>li.b{border-color:var(--bad)}
ul.needs>li.w{border-color:var(--warn)}
.who{font-weight:600;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--link)}
.names{overflow-wrap:anywhere;margin:.3rem 0}
.when{display:grid;grid-template-columns:minmax(0,27rem) minmax(0,1fr);gap:1.75rem}
table{border-collapse:collapse;width:100%}
caption{text-align:left;color:var(--dim);padding:0 0 .4rem;font-size:.9rem}
.grid{table-layout:fixed}
.grid th{font-weight:600;font-size:.78rem;color:var(--dim);padding:.15rem}
.grid td{border:1px solid var(--line);height:3.1rem;vertical-align:top;padding:.1rem .25rem;
font-size:.78rem;line-height:1.25;overflow:hidden}
.grid .out{border-color:transparent}.grid .end{background:var(--faint)}
.grid .today{outline:2px solid var(--now);outline-offset:-2px}
.grid .d{display:block;color:var(--dim)}
.grid .today .d{color:var(--fg);font-weight:700}
.grid .m{font-weight:700;color:var(--fg)}
.grid .r,.grid .e,.grid .p,.grid .h{display:inline-block;border-radius:3px;padding:0 .2rem;
margin:0 .1rem .1rem 0;
font-weight:600;white-space:nowrap;text-decoration:none}
.kind{border-radius:3px;padding:0 .3rem;font-size:.8rem;font-weight:600}
.r{color:var(--busy);background:var(--busy-bg)}.e{color:var(--warn);background:var(--warn-bg)}
.p{color:var(--person);background:var(--person-bg)}
.h{color:var(--fg);background:var(--line)}
.day{break-inside:avoid;margin:0 0 .7rem}
.day ul{list-style:none;margin:0;padding:0}
.day li{display:flex;gap:.5rem;align-items:baseline;margin:.1rem 0}
.day li>div{min-width:0;overflow-wrap:anywhere}
.day .kind{flex:none}
.rows th,.rows td{text-align:left;vertical-align:top;padding:.5rem .6rem .5rem 0;
border-top:1px solid var(--line)}
.rows thead th{border-top:0;font-size:.8rem;color:var(--dim);font-weight:600;padding-bottom:.2rem}
.rows tbody th,.rows td>div{overflow-wrap:anywhere}
.rows tbody th{font-weight:400}
.labels{table-layout:fixed;margin-bottom:1.5rem}
.labels caption{color:var(--fg);font-weight:600;font-size:1rem}
details .labels{margin-top:.6rem}
.labels th:nth-child(1){width:20%}.labels th:nth-child(2){width:23%}
.labels th:nth-child(3){width:17%}.labels th:nth-child(4){width:6.5%}
.labels th:nth-child(5),.labels th:nth-child(6){width:12.5%}
.labels td{font-size:.9rem}
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.5em;
border:2px solid currentColor}
.path code{color:var(--dim)}
.rows summary,.labels caption{break-after:avoid}
.rows tr:target{background:var(--warn-bg)}
.lab{font-weight:600;overflow-wrap:anywhere}
.why{font-size:.88rem;overflow-wrap:anywhere}
.old{font-size:.86rem;color:var(--dim);overflow-wrap:anywhere}
.line svg{display:block;width:100%;height:32px}
.bar{fill:var(--bar)}.plan{fill:var(--plan)}.gone{fill:var(--old)}.over{fill:var(--old-over)}
.kept{fill:var(--kept)}
.now{stroke:var(--now);stroke-width:1}.use{fill:var(--fg)}.due{stroke:var(--fg);stroke-width:1}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;margin:.3rem 0 .6rem;padding:0;
font-size:.84rem;color:var(--dim)}
.key svg{width:22px;height:10px;vertical-align:baseline;margin-right:.3rem}
footer{padding-bottom:2.5rem;color:var(--dim);font-size:.88rem}
@media screen and (min-width:60rem){.sheet{position:sticky;top:1rem;align-self:start}}
@media screen and (max-width:60rem){.when{grid-template-columns:minmax(0,1fr)}}
@media screen and (max-width:52rem){header,nav,main,footer{padding-left:.8rem;padding-right:.8rem}
section{padding:.9rem .8rem 1rem;border-radius:8px}
.rows thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.rows,.rows tbody,.rows tr,.rows th,.rows td{display:block;width:auto}
.rows tr{border-top:1px solid var(--line);padding:.6rem 0}
.rows th,.rows td{border:0;padding:.1rem 0}
.rows td[data-h]{display:grid;grid-template-columns:5rem minmax(0,1fr);gap:.6rem}
.rows td[data-h]>div{min-width:0}
.rows td[data-h]::before{content:attr(data-h);color:var(--dim);font-size:.86rem}
.labels th:nth-child(n),.labels td{width:auto}
.rows caption{display:block}.rows td>div{min-width:0}.labels tr{padding:.8rem 0}
.line svg{max-width:20rem}}
@media print{:root{--bg:#fff;--card:#fff;--fg:#000;--dim:#444;--line:#bbb;--link:#000}
html{font-size:72%}body{font-size:1rem}nav{display:none}header,main,footer{padding:0}
.when{grid-template-columns:minmax(0,19rem) minmax(0,1fr);gap:1rem}.grid td{height:2.4rem}
.rows th,.rows td{padding:.25rem .4rem .25rem 0}
.labels .nb{white-space:normal}section{border:0;padding:0;margin:0 0 1rem}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
tr,.day,li{break-inside:avoid}h2,h3{break-after:avoid}
details::details-content{content-visibility:visible;block-size:auto}summary{color:#000}}
"""
