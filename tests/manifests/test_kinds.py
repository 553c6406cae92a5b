from __future__ import annotations

import pytest
from kubernetes import client

from lab_storage._manifests.kinds import (
    DNS_LABEL,
    DNS_SUBDOMAIN,
    KINDS,
    NAMESPACE,
    NETWORK_POLICY,
    POD,
    SERVICE,
    Kind,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_installed_client_has_a_class_for_each_kind(kind: Kind) -> None:
    """The model is one of the client's, and has the fields that every kind has."""
    model = getattr(client, kind.model)

    assert {"api_version", "kind", "metadata"} <= set(model.openapi_types)


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "expected"),
    [
        (POD, "lab", "nb", "/api/v1/namespaces/lab/pods/nb"),
        (POD, "lab", None, "/api/v1/namespaces/lab/pods"),
        (POD, None, None, "/api/v1/pods"),
        (NAMESPACE, None, "lab", "/api/v1/namespaces/lab"),
        (NAMESPACE, None, None, "/api/v1/namespaces"),
        (
            NETWORK_POLICY,
            "lab",
            "np",
            "/apis/networking.k8s.io/v1/namespaces/lab/networkpolicies/np",
        ),
        (POD, "a/b", "c?d%", "/api/v1/namespaces/a%2Fb/pods/c%3Fd%25"),
        (POD, "lab", "é", "/api/v1/namespaces/lab/pods/%C3%A9"),
    ],
)
def test_a_path_is_that_of_the_api(
    kind: Kind, namespace: str | None, name: str | None, expected: str
) -> None:
    """Group, namespace, resource and name stand in the URL as the API server expects them."""
    assert expected == kind.path(namespace, name)


@pytest.mark.parametrize(
    ("kind", "namespace", "name"),
    [
        (NAMESPACE, "lab", "lab"),
        (POD, None, "nb"),
        (POD, "lab", ""),
        (POD, "", "nb"),
        (POD, "lab", ".."),
        (POD, ".", "nb"),
    ],
)
def test_a_path_that_would_lead_elsewhere_is_refused(
    kind: Kind, namespace: str | None, name: str
) -> None:
    """A part that is missing, too many, or resolved as a relative path is a ValueError."""
    with pytest.raises(ValueError, match=r"namespace|name"):
        kind.path(namespace, name)


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63])
def test_a_dns_label_is_allowed(name: str) -> None:
    """Lower case letters, digits and inner hyphens, up to 63, are a label and a subdomain."""
    assert DNS_LABEL.allows(name)
    assert DNS_SUBDOMAIN.allows(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a b", "é", "a\n", "a/b", "٣"])
def test_what_no_rule_takes_is_refused(name: str) -> None:
    """Empty and odd names are neither a label nor a subdomain."""
    assert not DNS_LABEL.allows(name)
    assert not DNS_SUBDOMAIN.allows(name)


def test_a_subdomain_is_longer_than_a_label_and_has_dots() -> None:
    """The two rules differ in length and in dots."""
    assert not DNS_LABEL.allows("a" * 64)
    assert not DNS_LABEL.allows("a.b")
    assert DNS_SUBDOMAIN.allows("a.b")
    assert DNS_SUBDOMAIN.allows("a" * 253)
    assert not DNS_SUBDOMAIN.allows("a" * 254)
    assert not DNS_SUBDOMAIN.allows("a..b")


def test_the_rule_for_names_is_that_of_the_kind() -> None:
    """Namespaces and services are named by labels, all else by subdomains."""
    labels = [kind for kind in KINDS if kind.names is DNS_LABEL]

    assert [NAMESPACE, SERVICE] == labels
