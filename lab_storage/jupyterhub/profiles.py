"""Profiles: choices that an administrator offers to the users of a Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lab_storage.jupyterhub.names import slug

Profile = Mapping[str, Any]


class ProfileError(ValueError):
    """A profile that the administrator does not offer, or has not described well."""


def slug_of(profile: Profile) -> str:
    """Return the word by which a profile is chosen.

    Parameters
    ----------
    profile
        An item of ``profile_list``.

    Returns
    -------
    str
        Its ``slug``, or one made of its ``display_name``.

    Raises
    ------
    ProfileError
        If it has neither.
    """
    if profile.get("slug"):
        return str(profile["slug"])
    if not profile.get("display_name"):
        raise ProfileError("a profile has no display_name")
    return slug(str(profile["display_name"]))


def choose(profiles: Sequence[Profile], chosen: object) -> Profile:
    """Find the profile that a user has chosen.

    Parameters
    ----------
    profiles
        What is offered, at least one.
    chosen
        The slug in the user's options; `None` for the default: the profile that says
        ``default``, else the first.

    Returns
    -------
    Mapping
        The profile.

    Raises
    ------
    ProfileError
        If there is no such profile. A user's options can come from anywhere.
    """
    offered = ", ".join(map(slug_of, profiles))
    if chosen is None:
        return next((each for each in profiles if each.get("default")), profiles[0])
    for profile in profiles:
        if slug_of(profile) == chosen:
            return profile
    raise ProfileError(f"there is no profile {str(chosen)[:100]!r}; choose one of: {offered}")


def form_of(profiles: Sequence[Profile]) -> str:
    """Write the form in which a user chooses.

    Parameters
    ----------
    profiles
        What is offered, at least one.

    Returns
    -------
    str
        HTML: a radio button for each, the default one checked.
    """
    default = slug_of(choose(profiles, None))
    lines = ['<div class="form-group" id="lab-profiles">']
    for profile in profiles:
        word = slug_of(profile)
        checked = " checked" if word == default else ""
        lines.append(
            f'<div class="form-check"><label class="form-check-label">'
            f'<input class="form-check-input" type="radio" name="profile" '
            f'value="{escape(word)}"{checked}> '
            f"<strong>{escape(str(profile.get('display_name') or word))}</strong>"
        )
        if profile.get("description"):
            lines.append(f"<p>{escape(str(profile['description']))}</p>")
        lines.append("</label></div>")
    return "\n".join([*lines, "</div>"])


def from_form(form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Read a user's options from the form.

    Parameters
    ----------
    form
        The fields, each a list.

    Returns
    -------
    dict
        ``{"profile": …}``, or nothing where none was chosen.
    """
    chosen = form.get("profile")
    return {"profile": chosen[0]} if chosen else {}
