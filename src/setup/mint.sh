#!/bin/sh
# What a key of its own may do on a node of Proxmox VE: replace one token of sentinel@pve, print it, and remove it again.
#
# Installed as a forced command (authorized_keys), it is all that this key can run:
#   command="/usr/local/lib/pve-sentinel/mint.sh",restrict ssh-ed25519 AAAA...
# Where the key's user is not root, sudoers need:  NAME ALL=(root) NOPASSWD: /usr/local/lib/pve-sentinel/mint.sh
#
# asked for             does                                                                prints
# pve-sentinel mint     replaces the token sentinel@pve!mint-INSTANCE, PVEAuditor on / only   its secret, framed
# pve-sentinel revoke   removes that token                                                  an empty frame
#
# INSTANCE is the one line on stdin: 1 to 32 of a-z, 0-9 and "-". The answer, as JSON of pveum between two lines:
#   @pve-sentinel-mint 1 begin INSTANCE
#   @pve-sentinel-mint 1 end INSTANCE

LC_ALL=C
export LC_ALL
user=sentinel@pve
newline='
'

stop() {
    printf '%s\n' "$*" >&2
    exit 1
}

# A command that failed, with the words it had.
failed() { stop "$1 failed: ${2%%"$newline"*}"; }

# Whole words only: nothing that a client sends is run, or even looked at further.
choose() {
    case "$1" in
        'pve-sentinel mint') verb=mint ;;
        'pve-sentinel revoke') verb=revoke ;;
        *) stop 'expected "pve-sentinel mint" or "pve-sentinel revoke", found another command' ;;
    esac
}

remove() {
    list=$(pveum user token list "$user" --output-format json </dev/null) \
        || stop "pveum user token list $user failed; pve-sentinel setup makes this user"
    case "$(printf '%s' "$list" | tr -d ' \n\t')" in
        *'"tokenid":"'"$token"'"'*) ;;
        *) return 0 ;;
    esac
    said=$(pveum user token remove "$user" "$token" </dev/null 2>&1) \
        || failed "pveum user token remove $user $token" "$said"
}

mint() {
    remove
    secret=$(pveum user token add "$user" "$token" --privsep 1 --comment 'made by pve-sentinel mint' \
        --output-format json </dev/null) || stop "pveum user token add $user $token failed"
    # To remove a token removes its rights as well.
    said=$(pveum acl modify / --tokens "$user!$token" --roles PVEAuditor </dev/null 2>&1) || {
        pveum user token remove "$user" "$token" </dev/null >/dev/null 2>&1
        failed "pveum acl modify / --tokens $user!$token --roles PVEAuditor" "$said"
    }
}

main() {
    choose "${1-${SSH_ORIGINAL_COMMAND-}}"
    if [ "$(id -u)" != 0 ]; then exec sudo -n "$0" "pve-sentinel $verb"; fi
    IFS= read -r instance || stop 'expected the name of an instance on a line, found none'
    case "$instance" in
        '' | *[!a-z0-9-]*) stop 'expected an instance of a-z, 0-9 and "-", found another' ;;
    esac
    [ "${#instance}" -le 32 ] || stop 'expected an instance of at most 32 characters, found more'
    token=mint-$instance
    secret=
    case "$verb" in
        mint) mint ;;
        revoke) remove ;;
    esac
    printf '\n@pve-sentinel-mint 1 begin %s\n%s\n@pve-sentinel-mint 1 end %s\n' "$instance" "$secret" "$instance"
}

main "$@"
