"""The interactive query: `query` answers, `page` puts it in words, `widgets` shows it.

`app.js` is the page of `widgets`, `style.css` its style sheet.  `places` finds where
pictures stand on a map of the collection, `explore` draws it, and `surroundings.js`
tells it about the page.
"""
