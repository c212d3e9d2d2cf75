// Times in the viewer's zone, chart read-outs, copy buttons, keys, live values. Pages work without it.
"use strict";
(() => {
  const body = document.body;
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // --- times -------------------------------------------------------------------------------------
  const two = (n) => String(n).padStart(2, "0");
  const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}`;
  const day = (d) => d.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  const ago = (d) => {
    const s = Math.round((Date.now() - d) / 1000);
    if (s < 0 || s >= 86400) return `${day(d)} ${clock(d)}`;
    if (s < 60) return s < 3 ? "just now" : `${s} s ago`;
    return s < 3600 ? `${Math.floor(s / 60)} min ago` : `${Math.floor(s / 3600)} h ago`;
  };
  const styles = {
    ago,
    clock,
    day: (d) => `${day(d)} ${clock(d)}`,
    milli: (d) => `${clock(d)}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`,
    time: (d) => `${d.toDateString() === new Date().toDateString() ? "" : day(d) + " "}${clock(d)}:${two(d.getSeconds())}`,
  };
  const showTimes = (root = document) => {
    for (const element of all("time[datetime]", root)) {
      const text = (styles[element.dataset.style] || styles.time)(new Date(element.dateTime));
      if (element.textContent !== text) element.textContent = text;
    }
    for (const option of all("option[data-time]", root)) option.textContent = styles.day(new Date(option.dataset.time));
  };

  // --- charts ------------------------------------------------------------------------------------
  const unitText = (value, unit) => {
    const short = (v) => String(Number(v.toPrecision(3)));
    if (value === undefined) return "–";
    if (unit === "s") return value < 1 ? `${short(value * 1000)} ms` : `${short(value)} s`;
    return `${value >= 1000 ? Math.round(value).toLocaleString("en") : short(value)} ${unit}`.trim();
  };
  const readOut = (figure, share) => {
    const data = (figure.chart ||= JSON.parse(figure.dataset.chart));
    const points = data.series.flatMap((s) => s.points.map((p) => p[0]));
    const cursor = $(".cursor", figure), out = $(".readout", figure);
    if (share === null || !points.length) {
      cursor.setAttribute("d", "");
      out.textContent = "";
      figure.at = null;
      return;
    }
    const wanted = data.from + share * (data.to - data.from);
    const at = points.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a));
    figure.at = (at - data.from) / (data.to - data.from);
    cursor.setAttribute("d", `M${Math.round(720 * figure.at)} 0V160`);
    const values = data.series.map((s) => {
      const found = s.points.find((p) => p[0] === at);
      return `${s.label} ${unitText(found && found[1], data.unit)}`;
    });
    out.textContent = `${styles.time(new Date(at * 1000))}: ${values.join(" · ")}`;
  };
  document.addEventListener("pointermove", (event) => {
    const svg = event.target.closest && event.target.closest(".plot svg");
    for (const figure of all(".chart")) {
      if (!svg) { if (figure.at != null && figure !== document.activeElement) readOut(figure, null); continue; }
      const box = svg.getBoundingClientRect();
      if (figure.contains(svg)) readOut(figure, Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
    }
  });
  document.addEventListener("keydown", (event) => {
    const figure = event.target.classList && event.target.classList.contains("chart") && event.target;
    if (!figure || !["ArrowLeft", "ArrowRight", "Escape"].includes(event.key)) return;
    event.preventDefault();
    const data = (figure.chart ||= JSON.parse(figure.dataset.chart));
    const times = [...new Set(data.series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
    if (event.key === "Escape" || !times.length) return readOut(figure, null);
    const share = (t) => (t - data.from) / (data.to - data.from);
    const step = event.key === "ArrowLeft" ? -1 : 1;
    const now = figure.at == null ? times.length : times.findIndex((t) => Math.abs(share(t) - figure.at) < 1e-6);
    readOut(figure, share(times[Math.min(Math.max(now + step, 0), times.length - 1)]));
  });

  // A cell of a heat map: whoever cannot point at it has the form below the map.
  const cellAt = (event) => {
    const svg = event.target.closest && event.target.closest(".heat[data-cells] .plot svg");
    if (!svg) return null;
    const figure = svg.closest("figure"), box = svg.getBoundingClientRect();
    const [from, to, seconds, edges, columns] = (figure.cells ||= JSON.parse(figure.dataset.cells));
    const time = from + ((to - from) * (event.clientX - box.left)) / box.width;
    const row = Math.min(Math.max(Math.floor((edges.length + 1) * (1 - (event.clientY - box.top) / box.height)), 0), edges.length);
    const within = (slack) => columns.find(([begin, ...counts]) => begin - slack <= time && time < begin + seconds + slack && counts[row]);
    // the column that is under way is drawn wider than it is, and a click has whole pixels
    const found = within(0) || within((2 * (to - from)) / box.width);
    return { figure, svg, at: found && found[0], seconds, least: row ? edges[row - 1] : 0, most: edges[row], count: found ? found[row + 1] : 0 };
  };
  document.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    for (const out of all(".heat .readout")) if (out.textContent && !(cell && cell.figure.contains(out))) out.textContent = "";
    if (!cell) return;
    cell.svg.style.cursor = cell.count ? "pointer" : "";
    const took = cell.least ? `${unitText(cell.least, "s")} to ${cell.most ? unitText(cell.most, "s") : "any time"}` : `less than ${unitText(cell.most, "s")}`;
    $(".readout", cell.figure).textContent = cell.count ? `${styles.time(new Date(cell.at * 1000))}, ${took}: ${cell.count}` : "";
  });
  document.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (!cell || !cell.count) return;
    const query = new URLSearchParams(location.search);
    for (const [name, value] of [["at", cell.at], ["during", cell.seconds], ["least", cell.least]]) query.set(name, value);
    location.assign(`${location.pathname}?${query}#cell`);
  });

  // --- copy, confirm, filters ----------------------------------------------------------------------
  const copy = async (button) => {
    const text = button.dataset.copy, label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  const prepare = (root = document) => {
    showTimes(root);
    for (const button of all(".copy[hidden]", root)) button.hidden = false;
  };
  const range = $(".range select");
  if (range) {
    range.addEventListener("change", () => range.form.submit());
    $("button", range.form).hidden = true;
  }

  // The server reads fields without a zone as UTC; here they are the viewer's, and sent with it.
  const between = $("#between form");
  if (between) {
    const local = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${clock(d)}`;
    for (const field of all("[data-at]", between)) field.value = local(new Date(field.dataset.at * 1000));
    $(".zone", between).textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
    between.addEventListener("submit", () => {
      for (const field of all("[type=datetime-local]", between)) {
        const at = field.value && new Date(field.value);
        field.type = "text";
        if (at) field.value = at.toISOString().replace(/:00\.000Z$/, "Z");
        else field.disabled = true;
      }
    });
  }

  // --- keys ----------------------------------------------------------------------------------------
  const help = $("#help"), off = $("#nokeys"), keysButton = $("#keys");
  const stored = (name, value) => {
    try {
      if (value === undefined) return localStorage.getItem(name);
      localStorage.setItem(name, value);
    } catch { /* storage is refused: the choice lasts until the next page */ }
    return null;
  };
  let before = "", row = -1;
  const selectRow = (step) => {
    const rows = all("table.rows tbody tr");
    if (!rows.length) return;
    row = Math.min(Math.max(row + step, 0), rows.length - 1);
    rows.forEach((r, i) => r.classList.toggle("sel", i === row));
    rows[row].scrollIntoView({ block: "nearest" });
    const link = $("a", rows[row]);
    if (link) link.focus({ preventScroll: true });
  };
  if (help) {
    keysButton.hidden = false;
    keysButton.addEventListener("click", () => help.showModal());
    off.checked = stored("proletto-keys") === "off";
    off.addEventListener("change", () => stored("proletto-keys", off.checked ? "off" : "on"));
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input,select,textarea,dialog");
    if (event.key === "Escape" && typing && event.target.blur) event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || (off && off.checked)) return;
    const tab = before === "g" && all(".rail a[data-key]").find((a) => a.dataset.key === event.key);
    before = event.key === "g" ? "g" : "";
    if (tab) tab.click();
    else if (event.key === "/") { event.preventDefault(); $(".search input").select(); $(".search input").focus(); }
    else if (event.key === "?" && help) help.showModal();
    else if (event.key === "j") selectRow(1);
    else if (event.key === "k") selectRow(-1);
    else if (event.key === "[" || event.key === "]") { const link = all("a[data-step]").find((a) => a.dataset.step === event.key); if (link) link.click(); }
    else if (event.key === "c" && $("#markdown")) copy($("#markdown"));
  });

  // --- live ----------------------------------------------------------------------------------------
  const badge = $("#live"), start = Number(body.dataset.interval) * 1000;
  let etag = body.dataset.etag && `"${body.dataset.etag}"`, interval = start, failures = 0, last = Date.now(), timer = 0;
  const address = () => {
    const query = new URLSearchParams(location.search);
    query.set("page", body.dataset.page);
    for (const [name, value] of new URLSearchParams(body.dataset.live)) query.set(name, value);
    return `${body.dataset.base}/api/live?${query}`;
  };
  const isBusy = (card) => card.contains(document.activeElement) && $("form", card) && document.activeElement.closest("form");
  const swap = (cards) => {
    for (const [id, html] of Object.entries(cards)) {
      const old = document.getElementById(id);
      // parsed apart: a template's content runs and loads nothing
      const made = document.createElement("template");
      made.innerHTML = html;
      const fresh = made.content.firstElementChild;
      if (!old) { const grid = $("main > .grid"); if (grid) grid.append(fresh); prepare(fresh); continue; }
      if (old.dataset.hash === fresh.dataset.hash || isBusy(old)) continue;
      const open = new Set(all("details[open]", old).map((d) => d.id));
      const focused = old.contains(document.activeElement) && all("a,button,summary,.chart", old).indexOf(document.activeElement);
      for (const details of all("details", fresh)) if (open.has(details.id)) details.open = true;
      prepare(fresh);
      old.replaceWith(fresh);
      if (focused !== false && focused >= 0) { const again = all("a,button,summary,.chart", fresh)[focused]; if (again) again.focus({ preventScroll: true }); }
    }
  };
  const show = () => {
    if (!badge || !start) return;
    const seconds = Math.round((Date.now() - last) / 1000);
    const stale = seconds * 1000 > Math.max(3 * start, 15000);
    badge.hidden = false;
    badge.className = `live${document.hidden ? " paused" : stale ? " stale" : ""}`;
    badge.textContent = stale ? `${seconds} s old, retrying` : "live";
  };
  // a tenth of jitter, and longer while the server does not answer
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(poll, Math.min(interval * 2 ** failures, 60000) * (0.9 + 0.2 * Math.random()));
  };
  const fresh = (answer) => {
    if (answer.cards) { etag = answer.etag; interval = answer.interval; swap(answer.cards); }
    last = Date.now();
    failures = 0;
    show();
    later();
  };
  // Tabs of one address share their answers: the first whose time has come says so and asks for all
  // of them. Should its answer not come, each asks for itself when its time has come again.
  const tabs = start && window.BroadcastChannel && new BroadcastChannel("proletto-monitoring");
  if (tabs) tabs.onmessage = ({ data: answer }) => {
    if (answer.asking) { if (answer.address === address() && !document.hidden) later(); return; }
    const isOurs = answer.address === address() && (answer.cards || answer.etag === etag);
    if (isOurs && !document.hidden) fresh(answer);
  };
  const poll = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const asked = address();
      if (tabs) tabs.postMessage({ asking: true, address: asked });
      const answer = await fetch(asked, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (answer.status === 401 || answer.status === 403) { badge.hidden = false; badge.className = "live stale"; badge.textContent = "logged out: load the page again"; return; }
      if (answer.status !== 304 && !answer.ok) throw new Error(answer.status);
      const made = { address: asked, etag };
      if (answer.status !== 304) {
        const data = await answer.json();
        Object.assign(made, { etag: answer.headers.get("ETag") || "", interval: data.interval * 1000, cards: data.cards });
      }
      fresh(made);
      if (tabs) tabs.postMessage(made);
    } catch { failures += 1; show(); later(); }
  };
  // --- following the log ---------------------------------------------------------------------------
  const follow = $("#follow");
  if (follow) {
    let cursor = follow.dataset.cursor, waiting = [], running = false;
    const lines = $("#lines"), news = document.createElement("p");
    news.className = "note fresh";
    news.innerHTML = "<button type=button></button>";
    news.hidden = true;
    lines.before(news);
    // new lines wait for a click when somebody has scrolled: nothing moves below the pointer
    const put = () => {
      const made = document.createElement("template");
      made.innerHTML = waiting.join("");
      prepare(made.content);
      lines.prepend(made.content);
      while (lines.children.length > 1000) lines.lastElementChild.remove();
      waiting = [];
      news.hidden = true;
    };
    news.firstChild.addEventListener("click", put);
    const step = async () => {
      if (!running) return;
      if (!document.hidden) {
        const query = new URLSearchParams(location.search);
        query.delete("cursor");
        if (cursor) query.set("cursor", cursor);
        try {
          const answer = await (await fetch(`${body.dataset.base}/api/logs/tail?${query}`, { cache: "no-store" })).json();
          cursor = answer.cursor || cursor;
          waiting = [...(answer.lines || []), ...waiting].slice(0, 1000);
          if (waiting.length && window.scrollY < 200) put();
          else if (waiting.length) { news.firstChild.textContent = `${waiting.length} new`; news.hidden = false; }
        } catch { /* the next step tries again */ }
      }
      setTimeout(step, 2000);
    };
    follow.hidden = false;
    follow.addEventListener("click", () => {
      running = !running;
      follow.setAttribute("aria-pressed", running);
      follow.textContent = running ? "Stop following" : "Follow";
      step();
    });
  }

  prepare();
  const here = $(".rail [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - 48; // on a phone the rail is a row that scrolls
  setInterval(() => { showTimes(); show(); }, 5000);
  if (start) {
    show();
    later();
    document.addEventListener("visibilitychange", () => (document.hidden ? show() : poll()));
  }
})();
