// Tells Python whether the page around a widget is dark, and how wide the widget may be.

function render({ model, el }) {
  const tell = () => {
    const said = document.body.dataset.jpThemeLight; // JupyterLab's and Voilà's own
    // Elsewhere text is lighter than the middle on a dark page.
    const ink = getComputedStyle(document.body).color.match(/[\d.]+/g).map(Number);
    model.set("dark", said ? said === "false" : ink[0] + ink[1] + ink[2] > 382);
    if (el.clientWidth) model.set("width", el.clientWidth); // 0: it is hidden
    model.save_changes();
  };
  const theme = new MutationObserver(tell), size = new ResizeObserver(tell);
  theme.observe(document.body, { attributes: true });
  size.observe(el);
  return () => {
    theme.disconnect();
    size.disconnect();
  };
}

export default { render };
