// A line that a check printed ("✓ ...") is shown in the theme's colour for success.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll(".cell_output .output.stream pre")) {
    block.innerHTML = block.innerHTML.replace(/^(?:<span><\/span>)?(✓ .*)$/gm, '<span class="check-passed">$1</span>');
  }
});
