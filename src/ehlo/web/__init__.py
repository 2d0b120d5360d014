"""The lab's HTTP side: the page, the API behind it, and the core of Mailpit's API for programs that know that one."""
