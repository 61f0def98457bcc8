"use strict";
(() => {
  const root = document.documentElement;
  const told = JSON.parse(document.getElementById("told").textContent);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const keep = (name, value) => { try { localStorage.setItem(`graftlm-${name}`, value); } catch { /* file:// may forbid it */ } };
  const kept = (name) => { try { return localStorage.getItem(`graftlm-${name}`); } catch { return null; } };
  const say = (key, ...values) => told[root.lang][key].replace(/\{(\d)\}/g, (_, n) => values[n]);

  // Switches: language and colours.
  const again = []; // what repeats a readout in the new language
  const setters = {
    lang: (value) => {
      root.lang = value;
      for (const name of ["aria-label", "title"])
        for (const one of all(`[data-${value}-${name}]`)) one.setAttribute(name, one.getAttribute(`data-${value}-${name}`));
      for (const repeat of again) repeat();
    },
    scheme: (value) => { root.dataset.scheme = value; },
  };
  const press = (group, value) => {
    for (const one of group.children) one.setAttribute("aria-pressed", String(one.dataset.value === value));
  };
  for (const group of all("[data-switch]")) {
    const name = group.dataset.switch;
    group.addEventListener("click", (event) => {
      const value = event.target.closest("button")?.dataset.value;
      if (value) { setters[name](value); press(group, value); keep(name, value); }
    });
    const before = name === "scheme" && kept(name);
    if (before && setters[name]) { setters[name](before); press(group, before); }
  }
  for (const one of all(".switches, [data-order]")) one.hidden = false;

  // Tables that sort and filter.
  const shown = (cell) => (cell.querySelector(`:scope > .${root.lang}`) ?? cell).textContent.trim();
  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    const text = shown(cell);
    return text === "–" || text === "" ? null : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), root.lang);
  for (const table of all("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const up = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") === "descending" : !head.classList.contains("number");
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
      rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : (up ? 1 : -1) * compare(a, b)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    }));
    const input = table.parentElement.previousElementSibling?.querySelector("[data-filter]");
    input?.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }

  // Charts: the nearest point is read out, by pointer or arrow keys.
  for (const chart of all("[data-chart]")) {
    const figure = chart.closest("figure");
    const lines = JSON.parse(figure.querySelector(".points").textContent);
    const [cross, mark, readout] = [chart.querySelector(".cross"), chart.querySelector(".mark"), figure.querySelector(".readout")];
    let at = [0, -1];
    const show = (line, number) => {
      at = [line, number];
      const [x, y, text] = lines[line].points[number];
      for (const part of [cross, mark]) part.removeAttribute("hidden");
      cross.setAttribute("x1", x); cross.setAttribute("x2", x);
      mark.setAttribute("cx", x); mark.setAttribute("cy", y);
      readout.textContent = `${root.lang === "zh" ? lines[line].zh : lines[line].name}: ${text}`;
    };
    again.push(() => { if (at[1] >= 0) show(...at); });
    chart.addEventListener("pointermove", (event) => {
      const matrix = chart.getScreenCTM();
      if (!matrix) return;
      const [px, py] = [(event.clientX - matrix.e) / matrix.a, (event.clientY - matrix.f) / matrix.d];
      let best = null;
      lines.forEach((line, n) => line.points.forEach(([x, y], number) => {
        const far = 4 * Math.abs(x - px) + Math.abs(y - py);
        if (!best || far < best[0]) best = [far, n, number];
      }));
      if (best) show(best[1], best[2]);
    });
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      const line = Math.min(Math.max(at[0] + step[0], 0), lines.length - 1);
      show(line, Math.min(Math.max(at[1] + step[1], 0), lines[line].points.length - 1));
    });
  }

  // Confusion matrices.
  for (const box of all(".matrix")) {
    const svg = box.querySelector("svg");
    const { labels, order } = JSON.parse(box.querySelector(".labels").textContent);
    const side = Number(box.dataset.side);
    const size = labels.length;
    const readout = box.querySelector(".readout");
    const [cursor, across, down] = ["cursor", "across", "down"].map((name) => svg.querySelector(`.${name}`));
    const cells = new Map(all("rect[data-c]", svg).map((one) => {
      const [truth, answer, count, share] = one.dataset.c.split(",").map(Number);
      return [truth * size + answer, { one, truth, answer, count, share }];
    }));
    const counts = all("text[data-c]", svg).map((one) => [one, ...one.dataset.c.split(",").map(Number)]);
    const names = all("text[data-n]", svg);
    let sequence = order;
    let places = [];
    let spot = [-1, 0];
    const settle = () => { places = []; sequence.forEach((label, place) => { places[label] = place; }); };
    settle();
    const draw = () => {
      for (const { one, truth, answer } of cells.values()) { one.setAttribute("x", places[answer] * side); one.setAttribute("y", places[truth] * side); }
      for (const [one, truth, answer] of counts) one.setAttribute("transform", `translate(${(places[answer] + 0.5) * side},${(places[truth] + 0.5) * side + 5})`);
      for (const one of names) {
        const middle = (places[one.dataset.n] + 0.5) * side;
        one.setAttribute("transform", one.classList.contains("row") ? `translate(-6,${middle + 4})` : `translate(${middle + 3},-6) rotate(-60)`);
      }
    };
    const show = (row, column) => {
      spot = [row, column];
      const [truth, answer] = [sequence[row], sequence[column]];
      const cell = cells.get(truth * size + answer);
      readout.textContent = cell
        ? say("cell", labels[truth], labels[answer], cell.count.toLocaleString(root.lang), (100 * cell.share).toFixed(1))
        : say("cell_none", labels[truth], labels[answer]);
      for (const part of [cursor, across, down]) part.removeAttribute("hidden");
      cursor.setAttribute("x", column * side); cursor.setAttribute("y", row * side);
      across.setAttribute("y", row * side); down.setAttribute("x", column * side);
      for (const one of names) one.classList.toggle("on", Number(one.dataset.n) === (one.classList.contains("row") ? truth : answer));
    };
    again.push(() => { if (spot[0] >= 0) show(...spot); });
    svg.addEventListener("pointermove", (event) => {
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const column = Math.floor((event.clientX - matrix.e) / matrix.a / side);
      const row = Math.floor((event.clientY - matrix.f) / matrix.d / side);
      if (row >= 0 && row < size && column >= 0 && column < size) show(row, column);
    });
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Home") { event.preventDefault(); show(0, 0); return; }
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      const inside = (value) => Math.min(Math.max(value, 0), size - 1);
      show(inside(Math.max(spot[0], 0) + (spot[0] < 0 ? 0 : step[0])), inside(spot[1] + (spot[0] < 0 ? 0 : step[1])));
    });
    const group = box.querySelector("[data-order]");
    group.addEventListener("click", (event) => {
      const value = event.target.closest("button")?.dataset.value;
      if (!value) return;
      press(group, value);
      sequence = value === "given" ? labels.map((_, n) => n) : order;
      settle(); draw();
      for (const part of [cursor, across, down]) part.setAttribute("hidden", "");
      readout.textContent = "\u00a0";
      spot = [-1, 0];
    });
  }
})();
