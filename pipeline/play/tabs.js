// The tabs of the page.

{
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const show = chosen => tabs.forEach(tab => {
    tab.setAttribute("aria-selected", tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  });
  tabs.forEach((tab, n) => {
    tab.addEventListener("click", () => show(tab));
    tab.addEventListener("keydown", event => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const other = tabs[(n + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
      show(other);
      other.focus();
    });
  });
}
