"""The generated document against OpenAPI 3.1's own rules, and against what is routed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.web.server import WebCase


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


class OpenApiTests(WebCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.document = (await self.get("/api/openapi.json", "")).json
        self.operations = [
            (path, method, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        ]

    def test_what_is_described_is_routed_and_the_other_way_round(self) -> None:
        rules = self.site.resource._app.url_map.iter_rules()
        routed = {tuple(rule.endpoint.split(" ")) for rule in rules}
        pages = {("GET", "/"), ("GET", "/admin"), ("GET", "/style.css"), ("GET", "/setup"), ("POST", "/setup")}
        self.assertEqual({(method.upper(), path) for path, method, _ in self.operations}, routed - pages)

    def test_the_frame(self) -> None:
        self.assertRegex(self.document["openapi"], r"^3\.1\.\d+$")
        self.assertLessEqual({"title", "version"}, set(self.document["info"]))
        self.assertLessEqual(set(self.document), {"openapi", "info", "paths", "components"})

    def test_every_reference_leads_somewhere(self) -> None:
        found = set(references(self.document))
        self.assertGreater(len(found), 10)
        schemas = self.document["components"]["schemas"]
        named = {reference.removeprefix("#/components/schemas/") for reference in found}
        self.assertEqual(named - set(schemas), set())

    def test_operations_are_whole(self) -> None:
        names = [operation["operationId"] for _, _, operation in self.operations]
        self.assertEqual(len(names), len(set(names)))
        for path, method, operation in self.operations:
            self.assertTrue(operation["summary"], path)
            in_path = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            self.assertEqual(in_path, re.findall(r"\{(\w+)\}", path))
            self.assertTrue(all(each["required"] for each in operation["parameters"] if each["in"] == "path"))
            self.assertTrue(all("schema" in each for each in operation["parameters"]))
            for status, response in operation["responses"].items():
                self.assertRegex(status, r"^[1-5]\d\d$")
                self.assertIn("description", response)
                self.assertLessEqual(set(response), {"description", "content", "headers"})
            self.assertEqual(method in ("post", "put", "patch"), "requestBody" in operation or path.endswith("logout"))

    def test_a_list_says_its_filters_and_its_envelope(self) -> None:
        operation = self.document["paths"]["/api/call_journals"]["get"]
        parameters = {each["name"]: each["schema"] for each in operation["parameters"]}
        self.assertLessEqual({"page", "per_page", "sort", "order", "from_time", "result"}, set(parameters))
        self.assertEqual(parameters["per_page"]["maximum"], 100)
        self.assertEqual(parameters["from_time"], {"type": "string", "format": "date-time"})
        self.assertEqual(parameters["result"]["type"], "array")
        self.assertIn("invite_at", parameters["sort"]["enum"])
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        self.assertEqual(schema["required"], ["data", "page", "per_page", "total"])

    def test_bodies(self) -> None:
        schemas = self.document["components"]["schemas"]
        self.assertEqual(schemas["DeviceReplace"]["required"], ["user_id", "username"])
        self.assertEqual(schemas["UserReplace"]["additionalProperties"], False)
        self.assertNotIn("required", schemas["UserPatch"])
        self.assertEqual(set(schemas["UserPatch"]["properties"]), set(schemas["UserReplace"]["properties"]))
        self.assertNotIn("password", schemas["UserView"]["properties"])
        self.assertEqual(schemas["UserView"]["properties"]["created_at"]["format"], "date-time")

    def test_who_may(self) -> None:
        paths = self.document["paths"]
        self.assertEqual(paths["/api/auth/login"]["post"]["security"], [])
        create = paths["/api/users"]["post"]
        self.assertEqual((create["x-role"], create["x-scope"]), ("admin", "users:write"))
        self.assertEqual(paths["/api/devices"]["get"]["x-role"], "user")
