"""A stand-in of GitHub's REST API on loopback: issues, comments, pull requests, runs
and artifacts, with laws of its own.

Rules this module keeps:

1. A call is answered as the REST reference says, for a token with exactly the
   permissions that it was issued with; a call that the stand-in does not know is 404,
   and ``unknown`` remembers it.
2. The order of a call: faults, User-Agent (403), version (400), token (401), repository
   (404), permission (403), the body (400, 422), the work.
3. Whoever writes is the token's holder; nobody chooses the author.
4. Pages are 30 long unless ``per_page`` says otherwise, at most 100, and ``Link`` names
   the next one by the repository's id, as the real one does.
5. The zip of an artifact lies on another host, which refuses whatever comes with an
   Authorization header, as the real one does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Self

from tests.support.github_state import Artifact, Holder, Issue, Repository, Run, Shapes, State, now
from tests.support.loopback import LoopbackServer, Reply, Request

BODY_CHARACTERS_MAX = 65_536
PAGE_MAX = 100
PAGE_DEFAULT = 30
_VERSIONS = frozenset({"2022-11-28", "2026-03-10"})
_REPOSITORY = re.compile(r"/(?:repos/([^/]+/[^/]+)|repositories/(\d+))(/.*)?")
_SHA = re.compile(r"[0-9a-f]{40}")
_DOCUMENTATION = "https://docs.github.com/rest"

WRITING = frozenset({"POST", "PATCH", "PUT", "DELETE"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it came and the status that it got.

    ``login`` is the holder of its token; None where it had no valid one.
    """

    method: str
    path: str
    query: Mapping[str, str]
    login: str | None
    headers: Mapping[str, str]
    status: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What becomes of the next ``times`` requests that fit: they get ``reply``, or
    where that is None a closed connection.

    ``done``: the work is done all the same, and its reply is lost. ``hang``: nothing
    comes until the stand-in stops.
    """

    reply: Reply | None = None
    method: str = "[A-Z]+"
    path: str = ".*"
    times: int = 1
    done: bool = False
    hang: bool = False

    def fits(self, request: Request) -> bool:
        """Tell whether the fault is meant for a request."""
        return bool(
            re.fullmatch(self.method, request.method) and re.fullmatch(self.path, request.path)
        )


def rate_limited(*, status: int = 403, retry_after_s: int | None = 1) -> Reply:
    """Return the secondary limit with ``Retry-After``; with None, the primary one with
    ``X-RateLimit-Reset``.
    """
    if retry_after_s is None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"}
        return problem(status, "API rate limit exceeded for installation ID 1.", headers)
    headers = {"Retry-After": str(retry_after_s)}
    return problem(
        status,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        headers,
    )


def problem(
    status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Reply:
    """Return a refusal in GitHub's shape."""
    document = {
        "message": message,
        "documentation_url": _DOCUMENTATION,
        "status": str(status),
        **more,
    }
    return Reply(status=status, document=document, headers=headers or {})


def not_found() -> Reply:
    """Return the answer for what does not exist, or is hidden from the token."""
    return problem(HTTPStatus.NOT_FOUND, "Not Found")


def invalid(resource: str, field: str, message: str) -> Reply:
    """Return the refusal of a body for one of its fields."""
    errors = [{"resource": resource, "code": "custom", "field": field, "message": message}]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Validation Failed", errors=errors)


class _Call(NamedTuple):
    """A request that passed the door."""

    request: Request
    repository: Repository
    holder: Holder
    parts: tuple[str, ...]
    document: Any


class _Route(NamedTuple):
    """A call that the stand-in knows; the token needs one of ``scopes``, to write where
    the method changes something, else to read.
    """

    method: str
    pattern: str
    scopes: tuple[str, ...]
    act: Callable[[_Call], Reply]


class GitHub(contextlib.ExitStack):
    """The stand-in; a context manager.

    ``url`` is the address of its API, ``web`` that of its pages, where nothing answers.
    ``state`` is what it remembers: a test acts there as people and runners do. ``seen``
    are the requests to the API in order of their arrival, ``downloads`` those to the
    host of the artifacts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.seen: list[Seen] = []
        self.downloads: list[Seen] = []
        self.unknown: list[str] = []
        self._faults: list[Fault] = []
        self._tokens: dict[str, Holder] = {}
        self._zips: dict[str, Artifact] = {}
        self._lock = threading.RLock()
        self._api = LoopbackServer(self._answer)
        self._blobs = LoopbackServer(self._download)
        self.url = self._api.url
        self.web = self._api.url.replace("127.0.0.1", "localhost")
        self._shapes = Shapes(self.state, api=self.url, web=self.web)
        self._routes = self._table()

    def __enter__(self) -> Self:
        self.enter_context(self._blobs)
        self.enter_context(self._api)
        return self

    # --- what a test does ---

    def issue_token(self, repository: str, *, login: str, permissions: Mapping[str, str]) -> str:
        """Return a new token that speaks for this user or bot."""
        token = f"ghs_{secrets.token_hex(18)}"
        self._tokens[token] = Holder(login=login, repository=repository, permissions=permissions)
        return token

    def tokens(self) -> list[str]:
        """Return every token that was issued."""
        return list(self._tokens)

    def fail(self, *faults: Fault) -> None:
        """Let requests meet these, the first that fits."""
        with self._lock:
            self._faults += faults

    def writes(self, *, granted: bool | None = None) -> list[Seen]:
        """Return the requests that wanted to change something: all, or with ``granted``
        those that GitHub did grant (True) or refused (False).
        """
        found = [seen for seen in self.seen if seen.method in WRITING]
        if granted is None:
            return found
        return [
            seen
            for seen in found
            if (seen.status is not None and seen.status < HTTPStatus.BAD_REQUEST) is granted
        ]

    def shape(self, repository: str, number: int) -> dict[str, Any]:
        """Return a pull request as an event shows it."""
        found = self.state.repositories[repository]
        return self._shapes.whole_pull(found, found.pulls[number])

    def repository_shape(self, repository: str) -> dict[str, Any]:
        """Return a repository as an event shows it."""
        return self._shapes.repository(self.state.repositories[repository])

    # --- the door ---

    def _answer(self, request: Request) -> Reply | None:
        fault = self._fault(request)
        if fault is not None and fault.hang:
            self._note(request, None)
            self._api.closing.wait()
            return None
        if fault is not None and not fault.done:
            self._note(request, fault.reply)
            return fault.reply
        with self._lock:
            reply = self._decide(request)
        self._note(request, reply)
        return reply if fault is None else fault.reply

    def _fault(self, request: Request) -> Fault | None:
        with self._lock:
            for place, fault in enumerate(self._faults):
                if fault.fits(request):
                    left = dataclasses.replace(fault, times=fault.times - 1)
                    self._faults[place : place + 1] = [left] if left.times else []
                    return fault
        return None

    def _note(self, request: Request, reply: Reply | None) -> None:
        holder = self._tokens.get(request.bearer() or "")
        with self._lock:
            self.seen.append(_seen(request, reply, holder.login if holder else None))

    def _decide(self, request: Request) -> Reply:
        if not request.headers.get("user-agent"):
            return problem(
                HTTPStatus.FORBIDDEN,
                "Request forbidden by administrative rules. Send a User-Agent header.",
            )
        if request.headers.get("x-github-api-version", "2022-11-28") not in _VERSIONS:
            return problem(HTTPStatus.BAD_REQUEST, "The given API version is not supported.")
        holder = self._tokens.get(request.bearer() or "")
        if holder is None:
            anonymous = "authorization" not in request.headers
            return not_found() if anonymous else problem(HTTPStatus.UNAUTHORIZED, "Bad credentials")
        place = _REPOSITORY.fullmatch(request.path)
        repository = self._find(place) if place else None
        if place is None or repository is None:
            return not_found()
        return self._route(request, repository, holder, place[3] or "")

    def _find(self, place: re.Match[str]) -> Repository | None:
        if place[1]:
            return self.state.repositories.get(place[1])
        return next((r for r in self.state.repositories.values() if str(r.id) == place[2]), None)

    def _route(self, request: Request, repository: Repository, holder: Holder, rest: str) -> Reply:
        for route in self._routes:
            parts = re.fullmatch(route.pattern, rest)
            if route.method != request.method or parts is None:
                continue
            level = "write" if request.method in WRITING else "read"
            elsewhere = holder.repository != repository.full_name
            if elsewhere and (repository.private or level == "write"):
                return not_found()
            public = (
                not repository.private and level == "read" and "authenticated" not in route.scopes
            )
            if not public and not self._granted(route, repository, holder, level, parts.groups()):
                return problem(HTTPStatus.FORBIDDEN, "Resource not accessible by integration")
            try:
                document = json.loads(request.body) if request.body else {}
            except ValueError:
                return problem(HTTPStatus.BAD_REQUEST, "Problems parsing JSON")
            return route.act(_Call(request, repository, holder, parts.groups(), document))
        self.unknown.append(f"{request.method} {request.path}")
        return not_found()

    def _granted(
        self,
        route: _Route,
        repository: Repository,
        holder: Holder,
        level: str,
        parts: tuple[str | Any, ...],
    ) -> bool:
        """Tell whether the holder may do this: the comments of a plain issue need
        ``issues``, those of a pull request either scope.
        """
        scopes = set(route.scopes) - {"authenticated"}
        if scopes == {"issues", "pull-requests"} and parts:
            number = int(parts[0])
            comment = repository.comments.get(number) if "comments/" in route.pattern else None
            if (comment.number if comment else number) not in repository.pulls:
                scopes = {"issues"}
        return not scopes or holder.may(scopes, level)

    # --- what there is ---

    def _table(self) -> Sequence[_Route]:
        issues, talk, pulls, actions = (
            ("issues",),
            ("issues", "pull-requests"),
            ("pull-requests",),
            ("actions",),
        )
        shapes = self._shapes
        return (
            _Route("GET", "", (), lambda call: _shown(shapes.repository(call.repository))),
            _Route("GET", r"/branches/([^/]+)", ("contents",), self._read_branch),
            _Route(
                "GET", r"/compare/([0-9a-f]{40})\.\.\.([0-9a-f]{40})", ("contents",), self._compare
            ),
            _Route("GET", "/issues", issues, self._list_issues),
            _Route("POST", "/issues", issues, self._create_issue),
            _Route("GET", r"/issues/(\d+)", talk, self._reading("issues", shapes.issue)),
            _Route("PATCH", r"/issues/(\d+)", talk, self._update_issue),
            _Route("GET", r"/issues/(\d+)/comments", talk, self._list_comments),
            _Route("POST", r"/issues/(\d+)/comments", talk, self._create_comment),
            _Route(
                "GET", r"/issues/comments/(\d+)", talk, self._reading("comments", shapes.comment)
            ),
            _Route("PATCH", r"/issues/comments/(\d+)", talk, self._update_comment),
            _Route("GET", r"/pulls/(\d+)", pulls, self._reading("pulls", shapes.whole_pull)),
            _Route("GET", r"/commits/([^/]+)/pulls", pulls, self._pulls_of_commit),
            _Route("GET", "/actions/runs", actions, self._list_runs),
            _Route("GET", r"/actions/workflows/([^/]+)/runs", actions, self._list_runs),
            _Route("GET", r"/actions/runs/(\d+)", actions, self._reading("runs", shapes.run)),
            _Route("GET", r"/actions/runs/(\d+)/artifacts", actions, self._list_artifacts),
            _Route("GET", "/actions/artifacts", actions, self._list_artifacts),
            _Route("GET", r"/actions/artifacts/(\d+)/zip", (*actions, "authenticated"), self._zip),
        )

    def _reading(
        self, kind: str, shape: Callable[[Repository, Any], Mapping[str, Any]]
    ) -> Callable[[_Call], Reply]:
        """Return what answers with the thing of this kind that has the asked number."""

        def read(call: _Call) -> Reply:
            found = getattr(call.repository, kind).get(int(call.parts[0]))
            return _shown(shape(call.repository, found)) if found else not_found()

        return read

    def _list_issues(self, call: _Call) -> Reply:
        query = call.request.query
        state, creator = query.get("state", "open"), query.get("creator")
        if state not in {"open", "closed", "all"}:
            return invalid("Issue", "state", "state is invalid")
        labels = {label for label in query.get("labels", "").split(",") if label}
        found = [
            issue
            for issue in call.repository.issues.values()
            if state in {"all", issue.state}
            and labels <= set(issue.labels)
            and creator in {None, issue.login}
        ]
        descending = query.get("direction", "desc") == "desc"
        found.sort(key=lambda issue: issue.number, reverse=descending)
        return self._page(call, [self._shapes.issue(call.repository, issue) for issue in found])

    def _create_issue(self, call: _Call) -> Reply:
        title, body, labels = (call.document.get(key) for key in ("title", "body", "labels"))
        refusal = _refused("Issue", body, title if title is not None else "")
        if refusal:
            return refusal
        issue = self.state.add_issue(
            call.repository.full_name,
            login=call.holder.login,
            title=str(title),
            body=body or "",
            labels=labels or (),
        )
        return _shown(self._shapes.issue(call.repository, issue), status=HTTPStatus.CREATED)

    def _update_issue(self, call: _Call) -> Reply:
        issue = call.repository.issues.get(int(call.parts[0]))
        if issue is None:
            return not_found()
        wish = call.document
        refusal = _refused("Issue", wish.get("body", issue.body), wish.get("title", issue.title))
        if refusal or wish.get("state", issue.state) not in {"open", "closed"}:
            return refusal or invalid("Issue", "state", "state is invalid")
        _edit(issue, wish)
        return _shown(self._shapes.issue(call.repository, issue))

    def _list_comments(self, call: _Call) -> Reply:
        number = int(call.parts[0])
        if number not in call.repository.issues:
            return not_found()
        found = [
            comment for comment in call.repository.comments.values() if comment.number == number
        ]
        return self._page(
            call, [self._shapes.comment(call.repository, comment) for comment in found]
        )

    def _create_comment(self, call: _Call) -> Reply:
        number, body = int(call.parts[0]), call.document.get("body")
        if number not in call.repository.issues:
            return not_found()
        refusal = _refused("IssueComment", body)
        if refusal:
            return refusal
        comment = self.state.add_comment(
            call.repository.full_name, number, login=call.holder.login, body=body
        )
        return _shown(self._shapes.comment(call.repository, comment), status=HTTPStatus.CREATED)

    def _update_comment(self, call: _Call) -> Reply:
        comment, body = call.repository.comments.get(int(call.parts[0])), call.document.get("body")
        if comment is None:
            return not_found()
        if comment.login != call.holder.login and not call.holder.may(("administration",), "write"):
            return problem(HTTPStatus.FORBIDDEN, "Must have admin rights to Repository.")
        refusal = _refused("IssueComment", body)
        if refusal:
            return refusal
        comment.edit(body)
        return _shown(self._shapes.comment(call.repository, comment))

    def _read_branch(self, call: _Call) -> Reply:
        found = call.repository
        if call.parts[0] != found.default_branch or not found.history:
            return not_found()
        return _shown({"name": found.default_branch, "commit": {"sha": found.history[-1]}})

    def _compare(self, call: _Call) -> Reply:
        """Compare two commits of the default branch; any other head has diverged."""
        (base, head), line = call.parts, call.repository.history
        if base not in line:
            return not_found()
        if head not in line:
            return _shown({"status": "diverged"})
        ahead = line.index(head) - line.index(base)
        return _shown({"status": "ahead" if ahead > 0 else "behind" if ahead else "identical"})

    def _pulls_of_commit(self, call: _Call) -> Reply:
        """List the pull requests that the commit merged, and open ones that have it."""
        sha = call.parts[0]
        if not _SHA.fullmatch(sha) or sha not in call.repository.commits:
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"No commit found for SHA: {sha}")
        found = [call.repository.pulls[number] for number in sorted(call.repository.commits[sha])]
        return self._page(call, [self._shapes.pull(call.repository, pull) for pull in found])

    def _list_runs(self, call: _Call) -> Reply:
        query = call.request.query
        found = [
            run
            for run in call.repository.runs.values()
            if (not call.parts or run.path.endswith(f"/{call.parts[0]}"))
            and query.get("branch") in {None, run.head_branch}
            and query.get("event") in {None, run.event}
            and query.get("head_sha") in {None, run.head_sha}
            and query.get("status") in {None, run.status, run.conclusion}
        ]
        if call.parts and not any(
            run.path.endswith(f"/{call.parts[0]}") for run in call.repository.runs.values()
        ):
            return not_found()
        shapes = [self._shapes.run(call.repository, run) for run in _newest_first(found)]
        return self._page(call, shapes, key="workflow_runs")

    def _list_artifacts(self, call: _Call) -> Reply:
        found = [
            artifact
            for artifact in call.repository.artifacts.values()
            if (not call.parts or artifact.run.id == int(call.parts[0]))
            and call.request.query.get("name") in {None, artifact.name}
        ]
        shapes = [self._shapes.artifact(call.repository, artifact) for artifact in reversed(found)]
        return self._page(call, shapes, key="artifacts")

    def _zip(self, call: _Call) -> Reply:
        artifact = call.repository.artifacts.get(int(call.parts[0]))
        if artifact is None:
            return not_found()
        if artifact.expired:
            return problem(HTTPStatus.GONE, "Artifact has expired")
        ticket = secrets.token_hex(16)
        self._zips[ticket] = artifact
        address = f"{self._blobs.url}/actions-results/{artifact.id}.zip?sig={ticket}"
        return Reply(status=HTTPStatus.FOUND, body=b"", headers={"Location": address})

    def _download(self, request: Request) -> Reply:
        reply = self._blob(request)
        with self._lock:
            self.downloads.append(_seen(request, reply))
        return reply

    def _blob(self, request: Request) -> Reply:
        """Serve by rule 5; an address works once, so that nobody keeps it."""
        if "authorization" in request.headers:
            return Reply(
                status=HTTPStatus.UNAUTHORIZED,
                body=b"<Error><Code>InvalidAuthenticationInfo</Code></Error>",
            )
        artifact = self._zips.pop(request.query.get("sig", ""), None)
        if artifact is None:
            return Reply(
                status=HTTPStatus.FORBIDDEN,
                body=b"<Error><Code>AuthenticationFailed</Code></Error>",
            )
        return Reply(status=200, body=artifact.content, headers={"Content-Type": "application/zip"})

    def _page(self, call: _Call, shapes: Sequence[Any], *, key: str | None = None) -> Reply:
        """Return one page, by rule 4."""
        query = call.request.query
        size = min(max(_whole(query.get("per_page"), PAGE_DEFAULT), 1), PAGE_MAX)
        page = max(_whole(query.get("page"), 1), 1)
        last = max(1, -(-len(shapes) // size))
        shown = list(shapes[(page - 1) * size : page * size])
        document: Any = shown if key is None else {"total_count": len(shapes), key: shown}
        links = (
            f"{self._address(call, page=number)}; rel={json.dumps(name)}"
            for name, number in _neighbours(page, last)
        )
        return _shown(document, link=", ".join(links))

    def _address(self, call: _Call, *, page: int) -> str:
        place = _REPOSITORY.fullmatch(call.request.path)
        rest = place[3] or "" if place else ""
        query = "&".join(
            f"{name}={text}" for name, text in {**call.request.query, "page": str(page)}.items()
        )
        return f"<{self.url}/repositories/{call.repository.id}{rest}?{query}>"


def _shown(document: Any, *, status: int = HTTPStatus.OK, link: str = "") -> Reply:
    return Reply(status=status, document=document, headers={"Link": link} if link else {})


def _seen(request: Request, reply: Reply | None, login: str | None = None) -> Seen:
    return Seen(
        method=request.method,
        path=request.path,
        query=request.query,
        login=login,
        headers=request.headers,
        status=reply.status if reply else None,
    )


def _refused(resource: str, body: object, title: object = "-") -> Reply | None:
    """Return the refusal of texts that GitHub does not take."""
    if resource == "IssueComment" and not body:
        return invalid(resource, "body", "body can't be blank")
    if not isinstance(title, str) or not title:
        return invalid(resource, "title", "title can't be blank")
    if body is not None and not isinstance(body, str):
        return invalid(resource, "body", "body is not a string")
    if body is not None and len(body) > BODY_CHARACTERS_MAX:
        return invalid(
            resource, "body", f"body is too long (maximum is {BODY_CHARACTERS_MAX} characters)"
        )
    return None


def _edit(issue: Issue, wish: Mapping[str, Any]) -> None:
    if "body" in wish or "title" in wish:
        issue.former += [issue.title, issue.body]
        issue.title, issue.body = wish.get("title", issue.title), wish.get("body", issue.body) or ""
    if "state" in wish:
        default = "completed" if wish["state"] == "closed" else "reopened"
        issue.state, issue.state_reason = wish["state"], wish.get("state_reason") or default
    if "labels" in wish:
        issue.labels = tuple(wish["labels"])
    issue.updated_at = now()


def _newest_first(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: run.id, reverse=True)


def _neighbours(page: int, last: int) -> list[tuple[str, int]]:
    back = [("prev", page - 1), ("first", 1)] if page > 1 else []
    forth = [("next", page + 1), ("last", last)] if page < last else []
    return back + forth


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
