"""The dashboard: pages of one node for its owner, in a browser on the owner's machine.

    browser --> ApiServer (places, Host) --> Site (session, origin, form's token) --> a page --> Visit.ask --> the API's operation

A page knows what the API's operations answer and nothing else of the node: `Visit.ask` is its only way in, with the owner's full
token, so a page shows and does what a program with that token could. What comes back was written by strangers and is text.

    load        samples of the machine's load
    drawing     templates, and what each can use
    sessions    one-time links, sessions, what each change must carry                pure
    security    headers of every answer, where a request may come from               pure
    forms       a body of a form, bounded                                            pure
    uploads     forms with a file, which is streamed
    text        credits, times, sizes, addresses as people read them                 pure
    page        what a page and a change are, and what they get and give
    site        the table of pages, and one request from the socket to the answer
    live        the stream that tells an open page that there is something new
    pages       those that belong to no contract

Pages of a contract come from its slice: the module `pages` of `client.contracts.NAME` has PAGES and NAV, its folder `templates`
what they are drawn with. Rows are always a page of at most `page.ROWS`; the browser gets nothing that it must sort or search.
Nothing comes from another machine: scripts and styles are files of this package (`static`), and the policy allows no others.
"""
