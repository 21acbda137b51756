"""The first check that all of our HTTP listeners make."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from castline.errors import RequestRefused
from castline.gate.origins import refuse_browsers


@web.middleware
async def ours_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 403 to every browser, and to host names that are not this machine's."""
    try:
        refuse_browsers({name.lower(): value for name, value in request.headers.items()})
    except RequestRefused as refused:
        return web.json_response(
            {"errorType": refused.aws_code, "errorMessage": refused.message}, status=refused.status
        )
    return await handler(request)
