// A name that the theme sets over the name of its button for colours. Before any other script runs: one of them draws the icons with it.
document.addEventListener("readystatechange", () => {
  for (const icon of document.querySelectorAll(".theme-switch-button [title]")) icon.removeAttribute("title");
}, { once: true });

// What a check printed ("✓ ...", further lines indented) is shown in the theme's colour for success.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll(".cell_output .output.stream pre")) {
    block.innerHTML = block.innerHTML.replace(/^(?:<span><\/span>)?(✓ .*(?:\n {2}\S.*)*)$/gm, '<span class="check-passed">$1</span>');
  }
  // a box to tick is named by the words beside it, for those who hear the page
  for (const box of document.querySelectorAll("li.task-list-item input")) box.setAttribute("aria-label", box.closest("li").textContent.trim());

  // a name that the theme sets over words which can be read: those words are the name, also for who speaks to the page
  for (const part of document.querySelectorAll("summary, .search-button-field")) part.removeAttribute("aria-label");

  // a list of references whose entries hold links back is no list by the rules of roles; without roles it reads the same
  for (const part of document.querySelectorAll(".citation-list, .citation-list [role]")) part.removeAttribute("role");

  // what scrolls in a box of its own can be scrolled with the keyboard, also once it was unfolded
  const reachable = new ResizeObserver((boxes) => {
    for (const { target } of boxes) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
  });
  for (const box of document.querySelectorAll("pre, .cell_output .output, div.math, .pst-scrollable-table-container")) reachable.observe(box);
});
