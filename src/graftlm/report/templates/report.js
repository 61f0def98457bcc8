"use strict";
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    const given = cell.dataset.sort ?? cell.textContent.trim();
    const value = Number(given);
    return given !== "" && !Number.isNaN(value) ? value : given;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.tabIndex = 0;
      const sort = () => {
        const up = head.getAttribute("aria-sort") === "descending" || !head.hasAttribute("aria-sort");
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => (up ? 1 : -1) * compare(key(a, column), key(b, column)));
        table.tBodies[0].append(...rows);
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
      });
    });
  }
  const matrix = document.getElementById("matrix");
  if (matrix) {
    const labels = JSON.parse(document.getElementById("labels").textContent);
    const shown = document.getElementById("cell");
    matrix.addEventListener("pointerover", (event) => {
      const cell = event.target.dataset?.c;
      if (!cell) return;
      const [truth, answer, count, share] = cell.split(",").map(Number);
      shown.textContent = `true ${labels[truth]} → answered ${labels[answer]}: ${count} rows, ` +
        `${(100 * share).toFixed(1)} % of ${labels[truth]}`;
    });
  }
})();
