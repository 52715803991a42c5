// Pointing at a rank anywhere lights it up everywhere; clicking on it picks it. The rest is CSS.
"use strict";
const rankAt = (event) => event.target.closest?.("[data-rank]")?.dataset.rank;

document.addEventListener("pointerover", (event) => {
  const rank = rankAt(event);
  if (rank) document.body.dataset.hover = rank;
  else delete document.body.dataset.hover;
});
document.documentElement.addEventListener("pointerleave", () => delete document.body.dataset.hover);
document.addEventListener("click", (event) => {
  const choice = document.getElementById(`pick-${rankAt(event)}`);
  if (choice) choice.checked = true;
});

// On paper nothing can be opened.
const opened = new Set();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    opened.add(details);
  }
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
  opened.clear();
});
