"""Gives a running demo everything that the operations of its OpenAPI document can be asked about.

Makes companies, roles, accounts, vehicles and terminals to be looked at, changed and deleted; finds a vehicle that
drives, an alarm that it raised and terminals that wait for approval. Writes the lot as JSON: the examples by operation,
the token to ask with, and those of the accounts that say farewell.
"""

import datetime
import json
import os
import sys
import time

import requests

BASE = os.environ["MOTORCADE_URL"]
PASSWORD = "a password of the schema test"
# How long the fleet may take to connect, drive and raise an alarm, seconds.
PATIENCE_S = 90
ROOT = 1


def log_in(account, password=PASSWORD):
    reply = requests.post(f"{BASE}/api/v1/auth/login", json={"account": account, "password": password}, timeout=30)
    reply.raise_for_status()
    return reply.json()


class Caller:
    """Somebody who is logged in."""

    def __init__(self, token):
        self.session = requests.Session()
        self.session.headers["authorization"] = f"Bearer {token}"

    def ask(self, method, path, **kwargs):
        reply = self.session.request(method, f"{BASE}/api/v1{path}", timeout=30, **kwargs)
        if not reply.ok:
            sys.exit(f"{method} {path}: {reply.status_code} {reply.text}")
        return reply.json() if reply.content else None

    def make(self, noun, **body):
        return self.ask("POST", f"/{noun}", json=body)["id"]

    def until(self, what, path, wanted):
        """The first item of a list that is wanted, waited for."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for item in self.ask("GET", path)["items"]:
                if wanted(item):
                    return item
            time.sleep(0.5)
        sys.exit(f"no {what} within {PATIENCE_S} s")


def main():
    admin = Caller(log_in("admin", os.environ["MOTORCADE_ADMIN_PASSWORD"])["access_token"])
    rights = admin.ask("GET", "/me")["permissions"]
    role = admin.make("roles", company_id=ROOT, name="examiner", permissions=rights)

    def account(name):
        return admin.make("accounts", company_id=ROOT, role_id=role, name=name, password=PASSWORD)

    examiner = account("examiner")
    token = log_in("examiner")["access_token"]
    caller = Caller(token)
    for name in ["somebody", "refresher", "leaver", "changer", "deleter"]:
        account(name)

    company = caller.make("companies", parent_id=ROOT, name="to be changed")
    stock = caller.make("companies", parent_id=company, name="stock")
    spare = caller.make("roles", company_id=company, name="to be changed", permissions=["view"])

    # The last of the demo's vehicles: what is drawn at random meets small keys.
    online = lambda vehicle: any(terminal["online"] for terminal in vehicle["terminals"])
    vehicle = caller.until("vehicle online", "/vehicles?q=DEMO20", online)
    terminal = vehicle["terminals"][0]
    moving = lambda latest: latest["terminal_id"] == terminal["id"] and latest["position"]
    caller.until("position", "/positions/latest?limit=500", moving)
    alarm = caller.until("alarm", "/alarms?limit=1", lambda _: True)
    waiting = []
    for _ in range(2):
        seen = lambda pending: pending["sim"] not in waiting
        waiting.append(caller.until("pending terminal", "/pending-terminals", seen)["sim"])

    node = caller.ask("GET", "/nodes")["node"]

    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    stamp = lambda at: at.isoformat(timespec="seconds").replace("+00:00", "Z")
    channel = {"id": vehicle["id"], "n": 1}
    end = stamp(now + 24 * hour)
    stored = caller.make("vehicles", company_id=company, plate="SCHEMA1")
    doomed = caller.make("vehicles", company_id=company, plate="SCHEMA2")

    profile = caller.make("device-profiles", company_id=company, name="to be changed", redirect_form="raw_words")
    # Whatever is set at random, one terminal of the demo alone hears of it.
    asked = caller.until("vehicle online", "/vehicles?q=DEMO19", online)["terminals"][0]
    servers = caller.ask("GET", f"/terminals/{asked['id']}/servers")

    def in_stock(sim):
        return caller.make("terminals", company_id=stock, sim=sim)

    def page(path):
        """The second page of a list, so that a cursor is told that is one."""
        return {"cursor": caller.ask("GET", f"{path}?limit=1")["next_cursor"], "limit": 2}

    of = {
        "POST /api/v1/auth/login": {"body": {"account": "somebody", "password": PASSWORD}},
        "POST /api/v1/auth/refresh": {"body": {"refresh_token": log_in("refresher")["refresh_token"]}},
        "POST /api/v1/auth/logout": {"body": {"refresh_token": log_in("somebody")["refresh_token"]}},
        "GET /api/v1/companies": page("/companies"),
        "POST /api/v1/companies": {"body": {"parent_id": company, "name": "made"}},
        "GET /api/v1/companies/{id}": {"id": company},
        "PATCH /api/v1/companies/{id}": {"id": company, "body": {"name": "changed"}},
        "DELETE /api/v1/companies/{id}": {"id": caller.make("companies", parent_id=company, name="to be deleted")},
        "GET /api/v1/roles": page("/roles"),
        "POST /api/v1/roles": {"body": {"company_id": company, "name": "made", "permissions": ["view", "live"]}},
        "GET /api/v1/roles/{id}": {"id": spare},
        "PATCH /api/v1/roles/{id}": {"id": spare, "body": {"name": "changed", "permissions": ["view"]}},
        "DELETE /api/v1/roles/{id}": {
            "id": caller.make("roles", company_id=company, name="to be deleted", permissions=[])
        },
        "GET /api/v1/accounts": page("/accounts"),
        "POST /api/v1/accounts": {
            "body": {"company_id": company, "role_id": spare, "name": "made", "password": PASSWORD, "expires_at": end}
        },
        "GET /api/v1/accounts/{id}": {"id": examiner},
        "PATCH /api/v1/accounts/{id}": {"id": account("to be changed"), "body": {"name": "changed", "expires_at": end}},
        "DELETE /api/v1/accounts/{id}": {"id": account("to be deleted")},
        "GET /api/v1/vehicles": {"q": "demo", "online": True, "company_id": ROOT},
        "POST /api/v1/vehicles": {"body": {"company_id": company, "plate": "SCHEMA3", "plate_colour": "blue"}},
        "GET /api/v1/vehicles/{id}": {"id": vehicle["id"]},
        "PATCH /api/v1/vehicles/{id}": {"id": stored, "body": {"plate": "SCHEMA4", "company_id": company}},
        "DELETE /api/v1/vehicles/{id}": {"id": doomed},
        "GET /api/v1/vehicles/{id}/track": {
            "id": vehicle["id"], "from": stamp(now - hour), "to": stamp(now + hour), "limit": 10
        },
        "POST /api/v1/vehicles/{id}/channels/{n}/live": {
            **channel, "body": {"profile": "main", "terminal_id": terminal["id"]}
        },
        "GET /api/v1/vehicles/{id}/channels/{n}/snapshot": {**channel, "profile": "main"},
        "GET /api/v1/terminals": page("/terminals"),
        "POST /api/v1/terminals": {"body": {"company_id": stock, "sim": "14000000001", "device_no": "SCHEMA1"}},
        "GET /api/v1/terminals/{id}": {"id": terminal["id"]},
        "PATCH /api/v1/terminals/{id}": {"id": in_stock("14000000002"), "body": {"device_no": "SCHEMA2"}},
        "DELETE /api/v1/terminals/{id}": {"id": in_stock("14000000003")},
        "GET /api/v1/terminals/{id}/channels": {"id": terminal["id"]},
        "PATCH /api/v1/terminals/{id}/channels/{n}": {"id": terminal["id"], "n": 1, "body": {"name": "front"}},
        "GET /api/v1/terminals/{id}/servers": {"id": asked["id"]},
        "PATCH /api/v1/terminals/{id}/servers": {"id": asked["id"], "body": {"main": servers["main"]}},
        "GET /api/v1/device-profiles": {"limit": 2},
        "POST /api/v1/device-profiles": {"body": {"company_id": company, "name": "made", "redirect_form": "text"}},
        "GET /api/v1/device-profiles/{id}": {"id": profile},
        "PATCH /api/v1/device-profiles/{id}": {"id": profile, "body": {"name": "changed", "redirect_form": None}},
        "DELETE /api/v1/device-profiles/{id}": {
            "id": caller.make("device-profiles", company_id=company, name="to be deleted")
        },
        "POST /api/v1/terminals/{id}/dispatch": {"id": terminal["id"]},
        "POST /api/v1/dispatch": {"body": {"role": "media"}},
        "GET /api/v1/pending-terminals": page("/pending-terminals"),
        "POST /api/v1/pending-terminals/{sim}/approve": {
            "sim": waiting[0], "body": {"company_id": stock, "plate": "SCHEMA5"}
        },
        "DELETE /api/v1/pending-terminals/{sim}": {"sim": waiting[1]},
        "GET /api/v1/positions/latest": {**page("/positions/latest"), "company_id": ROOT},
        "GET /api/v1/alarms": {"from": stamp(now - hour), "to": stamp(now + hour), "kind": alarm["kind"]},
        "GET /api/v1/alarms/{id}": {"id": alarm["id"]},
        "POST /api/v1/alarms/{id}/handle": {"id": alarm["id"], "body": {"note": "seen"}},
        "DELETE /api/v1/alarms/{id}/handle": {"id": alarm["id"]},
        "GET /api/v1/nodes/{node}": {"node": node},
        "POST /api/v1/nodes/{node}/drain": {"node": node},
        "POST /api/v1/nodes/{node}/undrain": {"node": node},
        "GET /api/v1/node-events": {"node": node, "limit": 2},
        "GET /api/v1/events": {"types": "position,alarm", "vehicle_id": vehicle["id"]},
    }
    leaver, changer, deleter = log_in("leaver"), log_in("changer"), log_in("deleter")
    farewell = {
        "POST /api/v1/auth/logout": {"body": {"refresh_token": leaver["refresh_token"]}},
        "POST /api/v1/me/password": {"body": {"old": PASSWORD, "new": f"{PASSWORD} anew"}},
        "DELETE /api/v1/me": {},
    }
    live = caller.ask("POST", f"/vehicles/{vehicle['id']}/channels/1/live", json={})
    json.dump(
        {
            "token": token,
            "examples": of,
            # What the examiner must not do to themselves while they are needed.
            "examiner": {"accounts": examiner, "roles": role},
            "farewell": {
                "examples": farewell,
                "tokens": {
                    name: who["access_token"] for name, who in zip(farewell, [leaver, changer, deleter], strict=True)
                },
            },
            "view": live["urls"]["http_flv"],
            "snapshot": f"{BASE}/api/v1/vehicles/{vehicle['id']}/channels/1/snapshot",
        },
        sys.stdout,
    )


main()
