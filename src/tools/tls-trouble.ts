/** What can be wrong with an encrypted connection, as far as the codes of Node and OpenSSL tell. */
export type TlsTrouble =
  | 'other name'
  | 'expired'
  | 'not valid yet'
  | 'untrusted'
  | 'wants a certificate'
  | 'refuses our certificate'
  | 'broke off'
  | 'other version'
  | 'no TLS'

/** What the codes mean. The first that fits counts. */
const TROUBLES: readonly (readonly [code: RegExp, trouble: TlsTrouble])[] = [
  [/^ERR_TLS_CERT_ALTNAME_(?:INVALID|FORMAT)$/, 'other name'],
  [/^CERT_HAS_EXPIRED$/, 'expired'],
  [/^CERT_NOT_YET_VALID$/, 'not valid yet'],
  [
    /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|CERT_UNTRUSTED)$/,
    'untrusted',
  ],
  [/_CERTIFICATE_REQUIRED$/, 'wants a certificate'],
  [
    /ALERT_(?:BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_|NO_CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|DECRYPT)/,
    'refuses our certificate',
  ],
  [/ALERT_HANDSHAKE_FAILURE$/, 'broke off'],
  [/PROTOCOL_VERSION$|UNSUPPORTED_PROTOCOL$|INAPPROPRIATE_FALLBACK$/, 'other version'],
  [
    /WRONG_VERSION_NUMBER$|UNKNOWN_PROTOCOL$|PACKET_LENGTH_TOO_LONG$|_HTTP_REQUEST$|INVALID_RECORD|UNEXPECTED_MESSAGE$/,
    'no TLS',
  ],
]

/** `undefined` for a code that tells of something else, or of nothing that is known here. */
export const tlsTroubleOf = (code: string): TlsTrouble | undefined =>
  TROUBLES.find(([pattern]) => pattern.test(code))?.[1]

/**
 * An error as the cause of another one; `undefined` where it is about a certificate, as it carries all of it then, which
 * whoever logs the error would log too.
 */
export const causeWithoutCertificate = <Raised>(error: Raised): Raised | undefined =>
  typeof error === 'object' && error !== null && 'cert' in error ? undefined : error
