"""The interactive query: `query` answers, `page` puts it in words, `widgets` shows it.

`app.js` is the page of `widgets`, `style.css` its style sheet.  `explore` draws a map
of the collection.
"""
