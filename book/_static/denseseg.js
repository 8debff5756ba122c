// What a check printed ("✓ ...", further lines indented) is shown in the theme's colour for success.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll(".cell_output .output.stream pre")) {
    block.innerHTML = block.innerHTML.replace(/^(?:<span><\/span>)?(✓ .*(?:\n {2}\S.*)*)$/gm, '<span class="check-passed">$1</span>');
  }
});
