import { json, type RequestHandler } from '@sveltejs/kit'

export const GET: RequestHandler = ({ locals: { session } }) => {
  session.data.visits = (session.data.visits ?? 0) + 1
  return json(session.data)
}
