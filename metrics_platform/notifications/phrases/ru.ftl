# Что говорят сообщения, по-русски. `$count` выбирает форму числа, всё остальное приходит уже записанным.
# Каждая фраза английского файла должна быть и здесь, с теми же переменными: это проверяет тест.

# --- слова состояния: первое слово каждого сообщения ----------------------------------------------------------------
state-critical = КРИТИЧНО
state-warning = ВНИМАНИЕ
state-failed = СБОЙ
state-resolved = РЕШЕНО
state-still-open = ВСЁ ЕЩЁ
state-done = ГОТОВО
state-test = ПРОВЕРКА
state-digest = СВОДКА

# --- подписи строк и ссылок -----------------------------------------------------------------------------------------
label-where = Где
label-data = Данные
label-impact = Влияние
label-next = Дальше
label-now = Сейчас
label-delayed = С опозданием
label-period = Период
link-dashboard = Дашборд
link-run = Запуск
link-message = Сообщение
join-and = { $items } и { $last }
id = № { $id }

# --- о любом сообщении ----------------------------------------------------------------------------------------------
delayed = это случилось { $moment }, за { $ago } до доставки
headline-over = { $state } через { $duration } · { $subject }

# --- метрики --------------------------------------------------------------------------------------------------------
# `.short` – имя в таблицах, не длиннее 12 знаков; где его нет, хватает полного.
metric-feed_users = Пользователи ленты
    .short = Польз. ленты
metric-views = Просмотры
metric-likes = Лайки
metric-ctr = CTR
metric-messages = Сообщения
metric-senders = Отправители
metric-receivers = Получатели
metric-app_dau = DAU приложения
    .short = DAU прил.
metric-feed_dau = DAU ленты
metric-messenger_dau = DAU мессенджера
    .short = DAU мессендж
metric-feed_only = Только лента
metric-messenger_only = Только мессенджер
    .short = Только мсндж
metric-both_services = Оба сервиса
metric-messages_sent = Сообщений
metric-sent_per_sender = На отправителя
    .short = На отправит.
metric-received_per_receiver = На получателя
    .short = На получат.
metric-sent_received = Отправлено / получено
    .short = Отпр./получ.
metric-views_per_user = Просмотров на пользователя
    .short = Просм./польз
metric-likes_per_user = Лайков на пользователя
    .short = Лайков/польз
metric-new_users = Новые
metric-new_users_ads = Новые с рекламы
    .short = Новые рекл.
metric-new_users_organic = Новые органика
    .short = Новые орган.
metric-wau = WAU
metric-mau = MAU
metric-stickiness = Липкость
metric-retention_d1 = Удержание D1
metric-retention_d7 = Удержание D7
metric-of-slice = { $metric } ({ $dimension } { $value })

# --- ежедневный отчёт -----------------------------------------------------------------------------------------------
report-title = Отчёт за день · { $date }
report-missing = Отчёт за день · { $date } · НЕТ ДАННЫХ
report-incomplete = Отчёт за день · { $date } · НЕ ПОЛОН
report-failed-checks = Отчёт за день · { $date } · ПРОВЕРКИ НЕ ПРОШЛИ
report-missing-next = Загрузки за этот день нет: материализуйте daily_etl за { $date }, затем daily_report.
report-incomplete-next = Загрузка шла до конца дня: числа могут быть занижены.
report-failed-checks-next = Проверки загрузки не прошли: числа могут быть неверны.
report-critical = критично: { $count }
report-warning = внимание: { $count }
report-normal = в норме: { $count }
report-part-feed = Лента
report-part-messenger = Мессенджер
report-part-application = Всё приложение
report-column-metric = метрика
report-column-value = знач.
report-column-day = 1д
report-column-week = 7д
report-fresh = Данные свежие на { $moment }
report-checks = проверки { $passed }/{ $total }
report-period = Период { $day } { $times } { $zone }
report-chart-actual = последние 7 дней
report-chart-before = 7 дней до них
report-chart-title = { $part } · { $date }

# --- аномалии -------------------------------------------------------------------------------------------------------
anomaly-subject = { $metric } { $change }
anomaly-no-data = { $metric }: нет данных
anomaly-several = { $count ->
    [one] { $count } метрика: { $list }
    [few] { $count } метрики: { $list }
   *[other] { $count } метрик: { $list }
}
anomaly-value = { $value } в { $times }, ожидалось { $expected }
anomaly-value-and-yesterday = { $value } в { $times }, ожидалось { $expected } (вчера { $yesterday })
anomaly-nothing = ни одного события в { $times }, ожидалось { $expected }
anomaly-nothing-and-yesterday = ни одного события в { $times }, ожидалось { $expected } (вчера { $yesterday })
anomaly-against = при ожидаемых { $expected }
anomaly-contribution = { $slice } { $change }
anomaly-contribution-drop = { $slice } { $change } ({ $share } падения)
anomaly-contribution-rise = { $slice } { $change } ({ $share } роста)
anomaly-complete = полные, свежие на { $time }
anomaly-complete-unknown = полные
anomaly-incomplete = неполные: поздние события могут изменить значение
anomaly-how = Как это оценено
anomaly-detector = детектор { $detector }: ожидалось { $expected }, полоса { $band }
anomaly-detector-alone = детектор { $detector }: ожидалось { $expected }
anomaly-score = отклонение { $score }
anomaly-moved-with = { $count ->
    [one] вместе с ней изменилась метрика: { $list }
   *[other] вместе с ней изменились метрики: { $list }
}
anomaly-column-metric = метрика
anomaly-column-value = знач.
anomaly-column-expected = ожид.
anomaly-column-change = откл.
anomaly-column-id = №
anomaly-still-subject = { $subject } уже { $duration }
anomaly-open-since = открыто с { $moment }
anomaly-resolved-subject = { $metric } снова в полосе
anomaly-resolved-several = { $count ->
    [one] { $count } метрика снова в полосе: { $list }
    [few] { $count } метрики снова в полосе: { $list }
   *[other] { $count } метрик снова в полосе: { $list }
}
anomaly-resolved-open-for = длилось { $duration } ({ $times })
anomaly-resolved-open-for-named = { $metric }: длилось { $duration } ({ $times })
anomaly-resolved-worst = хуже всего { $change } в { $time }
anomaly-resolved-now = сейчас { $value }
anomaly-resolved-still-open = ещё не в полосе: { $list }
anomaly-chart-title = { $metric } · { $date }
anomaly-chart-actual = последние 24 часа
anomaly-chart-band = ожидалось
anomaly-chart-day = днём раньше
anomaly-chart-week = неделей раньше
anomaly-chart-judged = оценено
anomaly-chart-compared = сравнено

# --- сама платформа -------------------------------------------------------------------------------------------------
failed-run-subject = задание { $job }
failed-run-killed = процесс завершился без объяснений: убит или не хватило памяти
failed-run-step = { $count ->
    [one] шаг
   *[other] шаги
}
failed-run-partition = партиция
failed-run-attempt = попытка { $attempt } из { $attempts }
failed-run-impact = { $count ->
    [one] не обновлено:
   *[other] не обновлено ({ $count }):
}
failed-run-more = и ещё { $count }
failed-run-repeats = { $count ->
    [one] Та же причина повторилась ещё { $count } раз с прошлого сообщения.
    [few] Та же причина повторилась ещё { $count } раза с прошлого сообщения.
   *[other] Та же причина повторилась ещё { $count } раз с прошлого сообщения.
}
failed-run-next = устраните причину, затем «Re-execute from failure» в запуске
failed-check-subject = проверка { $check } у { $asset }
failed-check-blocking = всё, что ниже, не рассчитано
failed-check-next = числа проверки видны в запуске; пересчёт дня заменяет его строки
stale-subject = Данные устарели: { $table }
stale-still = уже { $duration }
stale-last = последнее событие { $moment }, { $ago } назад (порог { $limit })
stale-never = нет ни одного события (порог { $limit })
stale-impact = метрики этого источника нельзя оценить, в отчётах не будет последних часов
stale-next = проверьте, кто пишет { $table }: платформа её только читает
fresh-subject = Данные снова свежие: { $table }
fresh-last = последнее событие { $moment } · устаревали { $duration }
volume-subject = Объём { $change }: { $table }
volume-rows = { $rows } строк за { $period }, ожидалось { $expected } (в такой день обычно { $usual })
volume-next = проверьте, не потеряны ли события и не записаны ли дважды, затем пересчитайте дни
success-subject = задание { $job }
success-took = заняло { $duration }
success-warnings = { $count ->
    [0] без предупреждений
    [one] { $count } предупреждение
    [few] { $count } предупреждения
   *[other] { $count } предупреждений
}
not-delivered-subject = Отчёт за { $date } не доставлен
not-delivered-due = он ожидался { $moment }
not-delivered-next = откройте в Dagster daily_report и запуски notify: там ответ Telegram
test-subject = metrics_platform может писать сюда
test-sent = отправлено по просьбе { $moment }
test-picture = Картинка тоже доходит
digest-subject = { $count ->
    [one] { $count } сообщение: { $list }
    [few] { $count } сообщения: { $list }
   *[other] { $count } сообщений: { $list }
}
digest-critical = критично { $count }
digest-failed = сбоев { $count }
digest-warning = внимание { $count }
digest-resolved = решено { $count }
digest-info = прочих { $count }
digest-why = Они пришли разом, поэтому это одно сообщение.
digest-next = каждое целиком – партиция ассета notifications в Dagster

# --- Slack ----------------------------------------------------------------------------------------------------------
# Вебхук не переносит картинок: где они тогда.
slack-pictures-in-telegram = 🖼 { $count ->
    [one] { $count } картинка – в Telegram и в запуске notify в Dagster
    [few] { $count } картинки – в Telegram и в запуске notify в Dagster
   *[other] { $count } картинок – в Telegram и в запуске notify в Dagster
}
slack-pictures-in-dagster = 🖼 { $count ->
    [one] { $count } картинка – в запуске notify в Dagster
    [few] { $count } картинки – в запуске notify в Dagster
   *[other] { $count } картинок – в запуске notify в Dagster
}
