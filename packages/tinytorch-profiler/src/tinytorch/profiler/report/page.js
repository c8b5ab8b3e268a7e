// A click on a frame widens it to the whole; a click on the lowest row shows everything again.
for (const flame of document.querySelectorAll(".flame")) {
  flame.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-w]")?.dataset;
    if (!chosen) return;
    const [from, width] = [Number(chosen.x), Number(chosen.w)];
    for (const box of flame.children) {
      const start = Math.max(0, (box.dataset.x - from) / width);
      const stop = Math.min(1, (Number(box.dataset.x) + Number(box.dataset.w) - from) / width);
      box.style.display = stop - start > 0.0001 ? "" : "none";
      box.style.left = `${start * 100}%`;
      box.style.width = `${(stop - start) * 100}%`;
    }
  });
}

// The numbers of a point of the roofline, below it, when the point is clicked or reached with the tab key.
for (const tip of document.querySelectorAll(".tip")) {
  for (const point of tip.parentElement.querySelectorAll("circle[tabindex]")) {
    point.addEventListener("focus", () => (tip.textContent = point.getAttribute("aria-label")));
  }
}

// A click on a title sorts by it, a second one the other way round.
for (const table of document.querySelectorAll(".sortable")) {
  const titles = [...table.querySelectorAll("th")];
  titles.forEach((title, column) => {
    title.addEventListener("click", () => {
      const rising = title.getAttribute("aria-sort") === "descending";
      titles.forEach((each) => each.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.v;
      const order = (a, b) => (column ? value(a) - value(b) : value(b).localeCompare(value(a)));
      const rows = [...table.tBodies[0].rows].sort((a, b) => (rising ? order(a, b) : order(b, a)));
      table.tBodies[0].append(...rows);
    });
  });
}
