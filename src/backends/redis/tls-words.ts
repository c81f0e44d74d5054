/** What is said of a connection that could not be encrypted, or not as it is asked. */

const UNTRUSTED =
  'it has no certificate by an authority that is trusted here: give the certificate of its authority as `tls.ca`'
const THIS_CERTIFICATE = 'give `tls.cert` and `tls.key`, by an authority that it trusts'

/** What codes of Node's mean here. The first that fits counts. */
const MEANINGS: readonly (readonly [code: RegExp, words: string])[] = [
  [
    /^ERR_TLS_CERT_ALTNAME_(?:INVALID|FORMAT)$/,
    'its certificate is for other names: name it by one that stands there, or give that name as `tls.servername`',
  ],
  [/^CERT_HAS_EXPIRED$/, 'its certificate has expired: renew it'],
  [/^CERT_NOT_YET_VALID$/, 'its certificate is not valid yet: look at the clocks of both machines'],
  [
    /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|CERT_UNTRUSTED)$/,
    UNTRUSTED,
  ],
  [/_CERTIFICATE_REQUIRED$|ALERT_HANDSHAKE_FAILURE$/, `it wants a certificate of this program: ${THIS_CERTIFICATE}`],
  [
    /ALERT_(?:BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_|NO_CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|DECRYPT)/,
    `it does not take the certificate of this program: ${THIS_CERTIFICATE}`,
  ],
  [
    /PROTOCOL_VERSION$|UNSUPPORTED_PROTOCOL$/,
    'it speaks only versions of TLS that are not spoken here: look at `tls.minVersion`',
  ],
  [
    /WRONG_VERSION_NUMBER$|UNKNOWN_PROTOCOL$|PACKET_LENGTH_TOO_LONG$|INVALID_RECORD|UNEXPECTED_MESSAGE$/,
    'it does not speak TLS on this port: write `redis://`, or give the port on which it does',
  ],
]

/** Of a code that Node gives to what went wrong with TLS, with the code; `undefined` for any other. */
export const tlsWords = (code: string): string | undefined => {
  const words = MEANINGS.find(([pattern]) => pattern.test(code))?.[1]
  return words === undefined ? undefined : `${words} (${code})`
}
