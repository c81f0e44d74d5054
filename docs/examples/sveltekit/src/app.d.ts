import type { WebSession } from 'nonstick/web'
import type { Visit } from './lib/server/sessions'

declare global {
  namespace App {
    interface Locals {
      session: WebSession<Visit>
    }
  }
}
