// Tells Python whether the page around a widget is dark, and how wide the widget may be.

const SETTLED = 300; // milliseconds: a page that changes its theme folds up meanwhile

function render({ model, el }) {
  const tell = () => {
    const said = document.body.dataset.jpThemeLight; // JupyterLab's and Voilà's own
    // Elsewhere text is lighter than the middle on a dark page.
    const ink = getComputedStyle(document.body).color.match(/[\d.]+/g).map(Number);
    model.set("dark", said ? said === "false" : ink[0] + ink[1] + ink[2] > 382);
    if (el.clientWidth) model.set("width", el.clientWidth); // 0: it is hidden
    model.save_changes();
  };
  let timer;
  const tellSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(tell, SETTLED);
  };
  const theme = new MutationObserver(tellSoon), size = new ResizeObserver(tellSoon);
  theme.observe(document.body, { attributes: true });
  size.observe(el);
  tell();
  return () => {
    clearTimeout(timer);
    theme.disconnect();
    size.disconnect();
  };
}

export default { render };
