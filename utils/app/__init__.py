"""The interactive query: `query` answers, `page` says it in HTML, `widgets` shows it.

`explore` draws a map of the collection.  `style.css` is the app's style sheet.
"""
