/* How does one toast stay one? What stands is changed in place; what was closed is put up anew. */

import { Notification } from '@jupyterlab/apputils';

export class OneToast {
  /** Does it stand, here or in the list of notifications? */
  get stands(): boolean {
    return this.id !== '' && Notification.manager.has(this.id);
  }

  put(message: string, type: Notification.TypeOptions, options: Notification.IOptions<null>): void {
    if (this.stands) {
      Notification.update({ id: this.id, message, type, ...options });
    } else {
      this.id = Notification.emit(message, type, options);
    }
  }

  dismiss(): void {
    if (this.stands) {
      Notification.dismiss(this.id);
    }
    this.id = '';
  }

  private id = '';
}
