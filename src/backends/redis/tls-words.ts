import { type TlsTrouble, tlsTroubleOf } from '../../tools/tls-trouble.js'

const THIS_CERTIFICATE = 'give `tls.cert` and `tls.key`, by an authority that it trusts'
const WANTS_A_CERTIFICATE = `it wants a certificate of this program: ${THIS_CERTIFICATE}`

/** What is said of a connection that could not be encrypted, or not as it is asked. */
const WORDS: Readonly<Record<TlsTrouble, string>> = {
  'other name':
    'its certificate is for other names: name it by one that stands there, or give that name as `tls.servername`',
  expired: 'its certificate has expired: renew it',
  'not valid yet': 'its certificate is not valid yet: look at the clocks of both machines',
  untrusted:
    'it has no certificate by an authority that is trusted here: give the certificate of its authority as `tls.ca`',
  'wants a certificate': WANTS_A_CERTIFICATE,
  'refuses our certificate': `it does not take the certificate of this program: ${THIS_CERTIFICATE}`,
  'broke off': WANTS_A_CERTIFICATE,
  'other version': 'it speaks only versions of TLS that are not spoken here: look at `tls.minVersion`',
  'no TLS': 'it does not speak TLS on this port: write `redis://`, or give the port on which it does',
}

/** Of a code that Node gives to what went wrong with TLS, with the code; `undefined` for any other. */
export const tlsWords = (code: string): string | undefined => {
  const trouble = tlsTroubleOf(code)
  return trouble === undefined ? undefined : `${WORDS[trouble]} (${code})`
}
