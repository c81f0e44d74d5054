import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  findExecutable,
  findMemcached,
  type MemcachedOptions,
  type MemcachedServer,
} from '../../scripts/servers/index.js'
import { ownMemcached } from './servers.js'
import { absent, type Found } from './skip.js'

/** A certificate with its key, as files and as what stands in them. */
export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: string
  readonly key: string
}

/** What stands in a certificate. */
export interface Wishes {
  /** As OpenSSL writes names: `DNS:localhost,IP:127.0.0.1`. @default those two */
  readonly names?: string
  /** For how many days from now it is valid; -1 makes one that has expired. @default 2 */
  readonly days?: number
  /** Signed by itself in place of the authority. */
  readonly signsItself?: true
}

/** Makes certificates in a temporary folder, by openssl, so that no test holds a key that somebody could take for a good one. */
export class Authority {
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'nonstick-certificates-'))
  readonly #own: Certificate
  #count = 0

  constructor() {
    chmodSync(this.#folder, 0o700)
    this.#own = this.#filesOf('authority')
    const subject = ['-subj', '/CN=authority of a test']
    openssl(['req', '-x509', '-days', '2', ...NEW_KEY, ...subject, ...this.#into(this.#own)])
    Object.assign(this.#own, contentsOf(this.#own))
  }

  /** The certificate of the authority itself. */
  get ca(): string {
    return this.#own.cert
  }

  get caFile(): string {
    return this.#own.certFile
  }

  issue({ names = 'DNS:localhost,IP:127.0.0.1', days = 2, signsItself }: Wishes = {}): Certificate {
    this.#count += 1
    const made = this.#filesOf(`certificate-${this.#count}`)
    const subject = ['-subj', '/CN=certificate of a test']
    if (signsItself) {
      const extension = ['-addext', `subjectAltName=${names}`]
      openssl(['req', '-x509', '-days', `${days}`, ...NEW_KEY, ...subject, ...extension, ...this.#into(made)])
      return contentsOf(made)
    }
    const [request, extensions] = [`${made.certFile}.request`, `${made.certFile}.extensions`]
    writeFileSync(extensions, `subjectAltName=${names}\n`)
    openssl(['req', '-new', ...NEW_KEY, ...subject, '-keyout', made.keyFile, '-out', request])
    const by = ['-CA', this.#own.certFile, '-CAkey', this.#own.keyFile, '-set_serial', `${this.#count}`]
    openssl(['x509', '-req', '-in', request, ...by, '-days', `${days}`, '-extfile', extensions, '-out', made.certFile])
    return contentsOf(made)
  }

  /** Removes everything that was made. */
  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #filesOf(name: string): Certificate {
    const file = join(this.#folder, name)
    return { certFile: `${file}.pem`, keyFile: `${file}.key`, cert: '', key: '' }
  }

  #into({ certFile, keyFile }: Certificate): readonly string[] {
    return ['-keyout', keyFile, '-out', certFile]
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const

const openssl = (args: readonly string[]): void => {
  execFileSync(findExecutable('openssl') ?? 'openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

const contentsOf = (files: Certificate): Certificate => ({
  ...files,
  cert: readFileSync(files.certFile, 'utf8'),
  key: readFileSync(files.keyFile, 'utf8'),
})

export interface TlsMemcached {
  readonly authority: Authority
  readonly start: (options?: MemcachedOptions) => Promise<MemcachedServer>
}

/** An authority, and memcacheds that speak TLS and belong to one test alone. Who asks calls `authority.remove()` at the end. */
export const tlsMemcached = async (): Promise<Found<TlsMemcached>> => {
  const start = await ownMemcached()
  if (typeof start !== 'function') return start
  const help = spawnSync(findMemcached() ?? 'memcached', ['-h'], { encoding: 'utf8' }).stdout
  if (!help.includes('--enable-ssl')) return absent('this memcached was built without TLS')
  if (findExecutable('openssl') === undefined) return absent('no openssl here to make certificates')
  return { authority: new Authority(), start }
}
