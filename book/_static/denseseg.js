// What a check printed ("✓ ...", further lines indented) is shown in the theme's colour for success.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll(".cell_output .output.stream pre")) {
    block.innerHTML = block.innerHTML.replace(/^(?:<span><\/span>)?(✓ .*(?:\n {2}\S.*)*)$/gm, '<span class="check-passed">$1</span>');
  }
  // a box to tick is named by the words beside it, for those who hear the page
  for (const box of document.querySelectorAll("li.task-list-item input")) box.setAttribute("aria-label", box.closest("li").textContent.trim());
});
