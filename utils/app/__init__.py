"""The interactive query: `query` answers, `page` says it in HTML, `widgets` shows it.

`style.css` is the app's style sheet.
"""
